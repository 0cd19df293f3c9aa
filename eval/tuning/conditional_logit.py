"""Weights of a sum of scores, learned from which candidate was chosen (McFadden 1974, conditional logit)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

Choice: TypeAlias = tuple[Array, int]
"""The candidates' scores [candidates, columns] and the row of the right one."""

RIDGE = 0.01
"""Weight of the squared norm of the standardised weights: few reviews agree with much by chance."""


def fit(choices: Sequence[Choice], columns: int, *, ridge: float = RIDGE) -> Array:
    """Non-negative weights [columns] that make the chosen rows likely under a softmax over each choice.

    Scores enter the ridge term divided by their standard deviation within choices; a column that never
    varies gets 0. The scale of the weights is the scale of log-odds. All ones when there is no choice to
    learn from.
    """
    from scipy.optimize import minimize

    usable = [(np.asarray(scores, dtype=np.float64), gold) for scores, gold in choices if len(scores) > 1]
    if not usable or columns == 0:
        return np.ones(columns)
    centred = [scores - scores.mean(axis=0) for scores, _ in usable]
    rows = np.concatenate(centred)
    deviation = rows.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)
    rows = rows / scale
    starts = np.cumsum([0, *(len(scores) for scores in centred)])[:-1]
    group = np.repeat(np.arange(len(usable)), [len(scores) for scores in centred])
    gold = starts + np.array([row for _, row in usable])

    def loss(weights: Array) -> tuple[float, Array]:
        utility = rows @ weights
        utility -= np.maximum.reduceat(utility, starts)[group]
        odds = np.exp(utility)
        total = np.add.reduceat(odds, starts)
        value = (np.log(total) - utility[gold]).mean() + ridge * (weights**2).sum()
        expected = np.add.reduceat(rows * (odds / total[group])[:, None], starts)
        return float(value), (expected - rows[gold]).mean(axis=0) + 2 * ridge * weights

    found = minimize(loss, np.ones(columns), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * columns)
    return np.asarray(found.x / scale)

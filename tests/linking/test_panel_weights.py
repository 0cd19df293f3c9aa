"""Weights of comparators: what tells the right candidate counts, what is noise does not."""

from __future__ import annotations

import numpy as np
import pytest

from ameli_llm.types import Link, RankedCandidate, State
from eval.tuning.panel import fit_panel


def link(review: int, right: int, **scores: list[float]) -> Link:
    """Candidates 0 to 3 of equal retrieval score, with a score by each comparator."""
    candidates = tuple(
        RankedCandidate(at, 1.0, None, None, 1.0, {}, {name: row[at] for name, row in scores.items()})
        for at in range(4)
    )
    return Link(review, State.LINKED, right, candidates=candidates, compared=4)


def test_the_better_comparator_weighs_more() -> None:
    rng = np.random.default_rng(0)
    answered = []
    for review in range(200):
        right = int(rng.integers(4))
        sure, half, noise = rng.normal(size=(3, 4))
        sure[right] += 3.0
        half[right] += 1.0
        row = link(review, right, sure=list(sure), half=list(half), noise=list(noise))
        answered.append((row, right))
    weights = fit_panel(answered)
    assert weights["sure"] == 1.0
    assert 0.1 < weights["half"] < 0.8
    assert weights["noise"] < 0.15


@pytest.mark.parametrize("gold", [0, None, 99])
def test_nothing_to_learn_from_leaves_all_at_one(gold: int | None) -> None:
    assert fit_panel([(link(0, 0, a=[1.0] * 4, b=[2.0] * 4), gold)]) == {"a": 1.0, "b": 1.0}

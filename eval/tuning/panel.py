"""Weights of several comparators beside one another, learned on a split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ameli_llm.fusion.missing import filled
from ameli_llm.ids import EntityId
from ameli_llm.types import Link
from eval.tuning.conditional_logit import Choice, fit

Answered: TypeAlias = tuple[Link, EntityId | None]
"""What was answered about a review, and its product; None when that is not in the knowledge base."""


def fit_panel(answered: Sequence[Answered]) -> dict[str, float]:
    """A weight per comparator, the greatest 1, by conditional logit beside retrieval and image score.

    All 1 where none of them tells the right candidate from the others.
    """
    names = sorted(
        {name for row, _ in answered for one in row.candidates[: row.compared] for name in one.text_scores}
    )
    choices: list[Choice] = []
    for row, right in answered:
        compared = row.candidates[: row.compared]
        ids = [one.entity_id for one in compared]
        if right is None or right not in ids or not compared[0].text_scores:
            continue
        image = np.array([[math.nan if one.image_score is None else one.image_score for one in compared]])
        columns = [[one.retrieval_score for one in compared], filled(image)[0]]
        columns += [[one.text_scores[name] for one in compared] for name in names]
        choices.append((np.column_stack(columns), ids.index(right)))
    weights = fit(choices, len(names) + 2)[2:]
    most = float(weights.max(initial=0.0))
    return {name: round(float(w) / most, 4) if most else 1.0 for name, w in zip(names, weights, strict=True)}

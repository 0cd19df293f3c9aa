"""Disambiguation and end-to-end F1, the figures of AMELI's Table 5 (``counting`` defines them)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.measures.counting import Counted
from eval.measures.showing import Score, Shown

PLACE = 20


def measure(counted: Counted, k: int) -> dict[str, Any]:
    """``disambiguation_f1`` over the reviews with their product among the first ``k`` candidates, and
    ``end_to_end_f1`` over all with gold.
    """
    reached = [one.within(k) for one in counted.judged]
    return {"disambiguation_f1": counted.f1(reached), "end_to_end_f1": counted.f1()}


def show(disambiguation_f1: Mapping[str, Any], end_to_end_f1: Mapping[str, Any], k: int) -> Shown:
    """A row each in the table of scores."""
    return Shown(
        scores=(
            Score("disambiguation F1", f"right product among the first {k}", disambiguation_f1),
            Score("end-to-end F1", "all reviews with gold", end_to_end_f1),
        )
    )

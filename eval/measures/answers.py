"""How reviews ended, and how often that was right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ameli_llm.runs import PredictionRow
from ameli_llm.types import State
from eval.measures.counting import Counted
from eval.measures.showing import Grid, Score, Shown

PLACE = 30


def measure(rows: Sequence[PredictionRow], counted: Counted) -> dict[str, Any]:
    """``precision``: right links by links. ``accuracy``: all reviews with gold, where ``nil`` is right when
    the product is not in the KB. ``states``: reviews by how they ended, which add up to all.
    """
    judged, ratio = counted.judged, counted.bootstrap.ratio
    return {
        "precision": ratio([one.hit for one in judged], [one.linked for one in judged]),
        "accuracy": ratio([one.right for one in judged]),
        "states": {state.value: sum(row.state is state for row in rows) for state in State},
    }


def show(precision: Mapping[str, Any], accuracy: Mapping[str, Any], states: Mapping[str, int]) -> Shown:
    """Two rows in the table of scores, and a table of states."""
    return Shown(
        scores=(
            Score("precision of links", "right links by links", precision),
            Score("accuracy with nil", "nil is right when the product is not in the KB", accuracy),
        ),
        grids=(Grid.of(("state", "reviews"), states.items()),),
    )

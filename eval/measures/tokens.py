"""What the model read and wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ameli_llm.runs import PredictionRow
from eval.measures.showing import Shown

PLACE = 40


def measure(rows: Sequence[PredictionRow]) -> dict[str, Any]:
    """``tokens`` of all reviews by kind."""
    return {
        "tokens": {
            kind: sum(getattr(row.tokens, kind) for row in rows)
            for kind in ("prompt", "completion", "cached")
        }
    }


def show(tokens: Mapping[str, int]) -> Shown:
    """A line, where a model was asked."""
    if not any(tokens.values()):
        return Shown()
    return Shown(lines=("tokens: " + ", ".join(f"{count} {kind}" for kind, count in tokens.items()),))

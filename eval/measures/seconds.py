"""Where the time went: the only part of ``metrics.json`` that differs between two equal runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ameli_llm.runs import PredictionRow
from eval.measures.showing import Shown

PLACE = 100


def measure(rows: Sequence[PredictionRow]) -> dict[str, Any]:
    """``seconds`` of all reviews by stage and ``total``; reviews that were linked at the same time each
    count their own.
    """
    stages: Counter[str] = Counter()
    for row in rows:
        stages.update(row.stage_seconds)
    return {"seconds": {**dict(sorted(stages.items())), "total": sum(row.seconds for row in rows)}}


def show(seconds: Mapping[str, float]) -> Shown:
    """A line."""
    listed = ", ".join(f"{spent:.2f} {stage}" for stage, spent in seconds.items())
    return Shown(lines=(f"seconds of all reviews: {listed}",))

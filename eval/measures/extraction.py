"""What extraction found in the reviews, and what of it was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ameli_llm.runs import PredictionRow
from eval.measures.showing import Shown

PLACE = 60


def measure(rows: Sequence[PredictionRow]) -> dict[str, Any]:
    """``extraction``: attribute ``values`` kept, in how many reviews, by extractor, and those ``dropped`` by
    reason.
    """
    sources = Counter(value.source for row in rows for value in row.attributes)
    dropped: Counter[str] = Counter()
    for row in rows:
        dropped.update(row.dropped)
    return {
        "extraction": {
            "values": sources.total(),
            "reviews_with_values": sum(bool(row.attributes) for row in rows),
            "by_source": dict(sorted(sources.items())),
            "dropped": dict(sorted(dropped.items())),
        }
    }


def show(extraction: Mapping[str, Any]) -> Shown:
    """A line, where values were found or dropped."""
    found, dropped = extraction["by_source"], extraction["dropped"]
    if not (found or dropped):
        return Shown()
    line = f"attributes: {extraction['values']} values in {extraction['reviews_with_values']} reviews"
    line += f" ({_listed(found)})" if found else ""
    return Shown(lines=(line + (f"; dropped: {_listed(dropped)}" if dropped else ""),))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())

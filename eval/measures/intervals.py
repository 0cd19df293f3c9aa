"""How the intervals of all scores were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.measures.showing import Shown
from eval.measures.statistics import LEVEL, ClusteredBootstrap

PLACE = 85


def measure(bootstrap: ClusteredBootstrap) -> dict[str, Any]:
    """``intervals``: method, coverage, samples and seed."""
    return {
        "intervals": {
            "method": "percentile bootstrap over gold products",
            "level": LEVEL,
            "samples": bootstrap.samples,
            "seed": bootstrap.seed,
        }
    }


def show(intervals: Mapping[str, Any]) -> Shown:
    """A line."""
    return Shown(lines=(f"intervals: {intervals['method']}, {intervals['samples']} samples",))

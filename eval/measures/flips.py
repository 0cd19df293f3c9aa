"""Whether the order of the candidates in the prompt decides the first choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ameli_llm.runs import PredictionRow
from eval.measures.showing import Shown

PLACE = 50


def measure(rows: Sequence[PredictionRow]) -> dict[str, Any]:
    """``flips``: candidate ``orders`` asked, those whose first choice is not the averaged one, the
    ``reviews`` with one, and their ``rate``, None where only one order was asked.
    """
    permuted = [row for row in rows if row.orders > 1]
    orders = sum(row.orders for row in permuted)
    flips = sum(row.flips for row in permuted)
    reviews = sum(row.flips > 0 for row in permuted)
    rate = flips / orders if orders else None
    return {"flips": {"orders": orders, "flips": flips, "reviews": reviews, "rate": rate}}


def show(flips: Mapping[str, Any]) -> Shown:
    """A line, where several orders were asked."""
    if flips["rate"] is None:
        return Shown()
    of = f"{flips['flips']} of {flips['orders']} candidate orders"
    return Shown(lines=(f"order: {of} flip the first choice",))

"""How many reviews there are, and how many of them can be scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ameli_llm.runs import PredictionRow
from eval.measures.counting import Counted
from eval.measures.showing import Shown

PLACE = 0


def measure(rows: Sequence[PredictionRow], counted: Counted, k: int) -> dict[str, Any]:
    """``n`` predictions, ``with_gold`` of them scored, ``in_kb`` with their product in the KB, ``products``
    different ones; ``k`` candidates were compared.
    """
    known = [one.gold.gold for one in counted.judged if one.in_kb]
    with_gold = len(counted.judged)
    return {"n": len(rows), "with_gold": with_gold, "in_kb": len(known), "products": len(set(known)), "k": k}


def show(n: int, with_gold: int, in_kb: int, products: int, k: int) -> Shown:
    """A line at the top."""
    of_kb = f"{in_kb} with their product in the KB ({products} products)"
    return Shown(head=(f"{n} reviews, {with_gold} with gold, {of_kb}, K = {k}",))

"""How often retrieval reaches the right product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.measures.counting import Counted
from eval.measures.showing import Score, Shown

PLACE = 10

CUTOFFS = (1, 10, 20, 50, 100)
"""The k of recall@k, as in AMELI v1, Table 4."""


def measure(counted: Counted, depth: int) -> dict[str, Any]:
    """``recall`` at each of ``CUTOFFS``: of the reviews whose product is in the KB, those with it among the
    first k candidates by ``retrieval_score`` (ties: by chance).

    A review without candidates counts as a miss. Beyond the ``depth`` candidates kept it is unknown: None.
    """
    known = [one.in_kb for one in counted.judged]
    return {
        "recall": {
            str(cut): counted.bootstrap.ratio([one.within(cut) for one in counted.judged], known)
            if cut <= depth
            else None
            for cut in CUTOFFS
        }
    }


def show(recall: Mapping[str, Any]) -> Shown:
    """A row each in the table of scores."""
    hint = "reviews whose product is in the KB"
    return Shown(scores=tuple(Score(f"recall@{k}", hint, interval) for k, interval in recall.items()))

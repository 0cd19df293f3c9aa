"""Where a run loses: every wrong review is counted once, under the earliest stage that explains it.

The causes are tried in the order of ``CAUSES``; the counts add up to the errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.config import FusionConfig, RunConfig
from ameli_llm.fusion.combine import Parts, fuse
from ameli_llm.ids import EntityId
from ameli_llm.runs import CandidateRow
from eval.measures.agreement import CONFLICT, against_right_product
from eval.measures.judged import Judged, by_retrieval
from eval.measures.showing import Grid, Shown

PLACE = 70

CAUSES: Mapping[str, str] = {
    "failed": "the model's reply was unusable or never came",
    "nil_linked": "the right product is not in the KB and a product was linked",
    "not_retrieved": "the right product is not among the first K candidates",
    "withheld": "the run abstained, or answered nil though the right product is among the first K",
    "image_misled": "text and retrieval alone name the right product, the image score turned it",
    "fusion_flipped": "the text or the image score alone prefers the right product, the sum does not",
    "attributes_wrong": "a value extracted from the review conflicts with the right product",
    "comparison_wrong": "all else: the scores prefer another candidate",
}
"""Cause and what it means, in order of precedence."""


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """Wrong reviews by cause; ``errors`` is their sum, ``n`` counts the reviews with gold."""

    n: int
    errors: int
    causes: Mapping[str, int]


def measure(judged: Sequence[Judged], k: int, config: RunConfig) -> dict[str, Any]:
    """``error_budget`` of the reviews with gold."""
    return {"error_budget": error_budget(judged, k, config.fusion)}


def show(error_budget: Mapping[str, Any]) -> Shown:
    """A table of the causes that occur."""
    errors = error_budget["errors"]
    causes = ((cause, n, f"{100 * n / errors:.1f}") for cause, n in error_budget["causes"].items() if n)
    return Shown(grids=(Grid.of((f"cause of {errors} errors", "reviews", "%"), causes),))


def error_budget(judged: Sequence[Judged], k: int, fusion: FusionConfig) -> ErrorBudget:
    """The causes of all errors; every cause is listed, 0 included."""
    counts = Counter(cause for one in judged if (cause := cause_of(one, k, fusion)))
    return ErrorBudget(len(judged), counts.total(), {name: counts[name] for name in CAUSES})


def cause_of(one: Judged, k: int, fusion: FusionConfig) -> str | None:
    """The key of ``CAUSES`` that explains the error; None when the review is right."""
    if one.right:
        return None
    if one.failed:
        return "failed"
    if not one.in_kb:
        return "nil_linked" if one.linked else "withheld"
    if not one.within(k):
        return "not_retrieved"
    if not one.linked:
        return "withheld"
    if _without_image_right(one, k, fusion):
        return "image_misled"
    if _prefers(one, k, "text_score") or _prefers(one, k, "image_score"):
        return "fusion_flipped"
    if CONFLICT in against_right_product(one).values():
        return "attributes_wrong"
    return "comparison_wrong"


def _compared(one: Judged, k: int) -> list[CandidateRow]:
    return by_retrieval(one.row)[: one.row.compared or k]


def _without_image_right(one: Judged, k: int, fusion: FusionConfig) -> bool:
    if not fusion.image:
        return False
    parts = [Parts(c.entity_id, c.retrieval_score, c.text_score) for c in _compared(one, k)]
    ranking = fuse(one.row.review_id, parts, fusion.model_copy(update={"image": 0.0}))
    return bool(ranking) and ranking[0][1].entity_id == one.gold.gold


def _prefers(one: Judged, k: int, part: str) -> bool:
    known = {c.entity_id: getattr(c, part) for c in _compared(one, k) if getattr(c, part) is not None}
    return _first(one.gold.gold, known)


def _first(right: EntityId | None, scores: Mapping[EntityId, float]) -> bool:
    """Whether the right product is strictly ahead of all other candidates; False when there are none."""
    others = [score for entity, score in scores.items() if entity != right]
    return right is not None and right in scores and bool(others) and scores[right] > max(others)

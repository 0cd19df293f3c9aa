"""What a version of a template broke: right before, wrong now, and why."""

from __future__ import annotations

from dataclasses import dataclass

from ameli_llm.ids import EntityId, ReviewId, id_order
from ameli_llm.runs import PredictionRow, RunFolder
from eval.evaluation import run_config
from eval.measures.error_budget import cause_of
from eval.measures.judged import Judged

LARGEST = 3
"""Breaks that are told apart."""


@dataclass(frozen=True)
class Break:
    """A review that was right before and is wrong now.

    ``cause`` is a key of ``error_budget.CAUSES``. ``right`` and ``chosen`` are names of products, "" for one
    that is not in the knowledge base or where none was chosen. ``loss``: the confidence in what was right and
    that in what is wrong together, 0 to 2.
    """

    review: ReviewId
    cause: str
    right: str
    chosen: str
    state: str
    before: float
    now: float

    @property
    def loss(self) -> float:
        """How sure the versions were of their different answers."""
        return self.before + self.now


def largest_breaks(
    before: RunFolder, now: RunFolder, broken: tuple[ReviewId, ...], most: int = LARGEST
) -> list[Break]:
    """The breaks among the reviews ``broken``, the largest first; ties by id. Raises AmeliError."""
    ids = frozenset(broken)
    if not ids:
        return []
    earlier = {row.review_id: row for row in before.predictions() if row.review_id in ids}
    gold, config = now.gold(), run_config(now)
    names = {**before.texts("products"), **now.texts("products")}

    def named(product: EntityId | None) -> str:
        return "" if product is None else f"{names.get(product, '')} ({product})"

    def made(row: PredictionRow) -> Break:
        judged = Judged(row, gold[row.review_id])
        return Break(
            review=row.review_id,
            cause=cause_of(judged, config.retrieval.candidates, config.fusion) or "",
            right=named(judged.gold.gold),
            chosen=named(row.entity_id),
            state=str(row.state),
            before=earlier[row.review_id].confidence or 0.0,
            now=row.confidence or 0.0,
        )

    found = [made(row) for row in now.predictions() if row.review_id in ids]
    return sorted(found, key=lambda one: (-one.loss, id_order(one.review)))[:most]

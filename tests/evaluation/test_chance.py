"""A scorer that gives every candidate the same score comes out at chance, however things are ordered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ameli_llm.config import FusionConfig
from ameli_llm.fusion.combine import Parts, demote, fuse
from ameli_llm.runs import CandidateRow, GoldRow, PredictionRow
from ameli_llm.ties import ranked
from ameli_llm.types import State
from eval.metrics import metrics
from eval.refusion import Refusion, ScoreTable

K, REVIEWS, DEPTH = 10, 1500, 20

Order = Callable[[int, list[int]], list[int]]

ORDERS: dict[str, Order] = {
    "gold first": lambda gold, others: [gold, *others],
    "gold last": lambda gold, others: [*others, gold],
    "smallest id first": lambda gold, others: sorted([gold, *others]),
    "greatest id first": lambda gold, others: sorted([gold, *others], reverse=True),
}
NUMBERINGS: dict[str, Callable[[int], tuple[int, int]]] = {
    "gold has the smallest ids": lambda n: (n, 10_000 + 100 * n),
    "gold has the greatest ids": lambda n: (1_000_000 + n, 100 * n),
}


def lists(order: str, numbering: str, size: int) -> list[tuple[int, list[int]]]:
    """(gold, ids of all candidates) of each review."""
    made = []
    for number in range(REVIEWS):
        gold, first = NUMBERINGS[numbering](number)
        made.append((gold, ORDERS[order](gold, [first + i for i in range(size - 1)])))
    return made


def row(review_id: int, order: Sequence[int]) -> PredictionRow:
    candidates = tuple(
        CandidateRow(entity_id=id_, retrieval_score=0.5, text_score=1.0, image_score=0.2, score=0.7)
        for id_ in order
    )
    return PredictionRow(
        review_id=review_id,
        state=State.LINKED,
        entity_id=order[0],
        confidence=0.1,
        candidates=candidates,
        compared=min(K, len(candidates)),
    )


def near(share: float, chance: float) -> bool:
    """Within four standard errors of ``REVIEWS`` draws."""
    return abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / REVIEWS)


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("order", ORDERS)
def test_fusion_and_filter(order: str, numbering: str) -> None:
    hits = 0
    for review, (gold, ids) in enumerate(lists(order, numbering, K)):
        ranking = demote(fuse(review, [Parts(i, 0.5, 1.0, None) for i in ids], FusionConfig()), set())
        hits += ranking[0][1].entity_id == gold
    assert near(hits / REVIEWS, 1 / K)


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("order", ORDERS)
def test_recall_and_refusion(order: str, numbering: str) -> None:
    made = lists(order, numbering, DEPTH)
    rows, gold = [], {}
    for review, (right, ids) in enumerate(made):
        chosen = [ids[i] for i in ranked(review, ids, [0.0] * len(ids))]
        rows.append(row(review, chosen))
        gold[review] = GoldRow(gold=right)
    scores = metrics(rows, gold, K, depth=DEPTH, samples=50)
    assert scores.recall["1"] is not None
    assert scores.recall["10"] is not None
    assert near(scores.recall["1"].value, 1 / DEPTH)
    assert near(scores.recall["10"].value, 10 / DEPTH)
    assert near(scores.end_to_end_f1.value, 1 / DEPTH)
    assert abs(scores.disambiguation_f1.value - 1 / K) < 0.04
    again = Refusion(ScoreTable.of(rows, {r: g.gold for r, g in gold.items()})).score(FusionConfig())
    assert again.end_to_end_f1.value == pytest.approx(scores.end_to_end_f1.value)


def test_the_order_of_the_file_changes_no_score() -> None:
    made = lists("gold first", "gold has the smallest ids", DEPTH)
    gold = {review: GoldRow(gold=right) for review, (right, _) in enumerate(made)}
    rows = [row(review, ids) for review, (_, ids) in enumerate(made)]
    shuffled = [one.model_copy(update={"candidates": one.candidates[::-1]}) for one in rows[::-1]]
    first, second = (metrics(r, gold, K, depth=DEPTH, samples=50).recall for r in (rows, shuffled))
    assert first == second

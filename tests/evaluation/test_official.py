"""The official code's insertion of gold: only by its switch, and only into short lists."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ameli_llm.types import Candidate, Review
from eval.official import GoldInserted


class Found:
    def __init__(self, *ids: int) -> None:
        self.ids = ids

    def find(self, reviews: Sequence[Review], depth: int) -> list[list[Candidate]]:
        return [[Candidate(i, 1.0 - i / 10) for i in self.ids][:depth] for _ in reviews]


@pytest.mark.parametrize(
    ("found", "gold", "ids"),
    [
        ((1, 2), 3, [1, 2, 3]),  # a short list gets gold, retrieved or not
        ((1, 2), 2, [1, 2]),  # retrieved: nothing to insert
        ((1, 2, 4), 3, [1, 2, 4]),  # as long as K: nothing is inserted
        ((), 3, [3]),
        ((1, 2), None, [1, 2]),  # outside the KB
    ],
)
def test_gold_goes_into_short_lists(found: tuple[int, ...], gold: int | None, ids: list[int]) -> None:
    [candidates] = GoldInserted(Found(*found), {7: gold}, k=3).find([Review(7)], 100)
    assert [candidate.entity_id for candidate in candidates] == ids


def test_the_inserted_product_comes_last() -> None:
    [candidates] = GoldInserted(Found(1, 2), {7: 3}, k=3).find([Review(7)], 100)
    assert candidates[-1] == Candidate(3, candidates[-2].score)

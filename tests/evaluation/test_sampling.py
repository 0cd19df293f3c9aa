"""A sample of a split: nested, stratified, and the same whatever the order."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from ameli_llm.dataset.split import Split
from ameli_llm.errors import AmeliError
from ameli_llm.ids import ReviewId
from ameli_llm.types import Review
from eval.sampling import sampled

CATEGORIES = {1: "mugs", 2: "mugs", "lamp": "lamps"}
GOLD = {
    **{n: 1 + n % 2 for n in range(60)},
    **dict.fromkeys(range(60, 80), "lamp"),
    **dict.fromkeys(range(80, 90)),
}
SPLIT = Split("dev", tuple(Review(n) for n in range(100)), GOLD, {5: "Mug", 99: "none"}, (), "all")


def ids(split: Split) -> set[ReviewId]:
    return {review.id for review in split.reviews}


def stratum(review: ReviewId) -> str:
    product = GOLD.get(review, "no gold")
    return "nil" if product is None else CATEGORIES.get(product, "no gold")


@pytest.mark.parametrize("n", [10, 20, 50])
def test_each_stratum_has_its_share(n: int) -> None:
    counts = Counter(map(stratum, ids(sampled(SPLIT, CATEGORIES, n, seed=3))))
    assert counts == {"mugs": 0.6 * n, "lamps": 0.2 * n, "nil": 0.1 * n, "no gold": 0.1 * n}


def test_a_sample_is_part_of_each_larger_one_and_seeds_differ() -> None:
    samples = [ids(sampled(SPLIT, CATEGORIES, n)) for n in (1, 7, 13, 40, 99, 100)]
    assert [len(one) for one in samples] == [1, 7, 13, 40, 99, 100]
    assert all(small < large for small, large in itertools.pairwise(samples))
    assert ids(sampled(SPLIT, CATEGORIES, 40, seed=1)) != samples[3]


def test_it_keeps_the_order_of_the_split_and_depends_on_ids_alone() -> None:
    turned = replace(SPLIT, reviews=SPLIT.reviews[::-1])
    one, other = sampled(SPLIT, CATEGORIES, 30), sampled(turned, CATEGORIES, 30)
    assert list(one.reviews) == list(other.reviews)[::-1] == sorted(one.reviews, key=lambda r: r.id)
    assert one.gold == {review: GOLD[review] for review in ids(one) & GOLD.keys()}
    assert set(one.gold_names) == ids(one) & {5, 99}
    assert one.digest not in (other.digest, SPLIT.digest)


def test_more_than_there_are_is_all_of_them_and_none_is_refused() -> None:
    assert sampled(SPLIT, CATEGORIES, 1000).reviews == SPLIT.reviews
    assert sampled(replace(SPLIT, reviews=(), gold={}), CATEGORIES, 5).reviews == ()
    with pytest.raises(AmeliError, match="A sample of 0 reviews"):
        sampled(SPLIT, CATEGORIES, 0)

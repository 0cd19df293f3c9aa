"""Shopper-style text and real reviews, and what they are said to say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ameli_llm.dataset.load import load_dataset
from ameli_llm.instruction.sources import Invented, Products, Reviews, Source, sources_of
from ameli_llm.instruction.told import Told
from ameli_llm.instruction.wording import said
from ameli_llm.instruction.world import invent

ROWS = range(50)


def of_rows(source: Source) -> list[Told]:
    """The reviews of all rows."""
    return [one for row in ROWS for one in source.told(row)]


def test_reviews_of_a_row_have_the_same_candidates() -> None:
    for row in ROWS:
        together = Invented(7).told(row)
        assert len({one.candidates for one in together}) == 1
        assert len({one.review for one in together}) == len(together) == 6


def test_invented_reviews_hold_their_quotations() -> None:
    source = Invented(5)
    found = of_rows(source)
    assert found[:24] == [one for row in range(4) for one in source.told(row)]
    for one in found:
        assert all(fact.quote in one.review.body for fact in one.facts)
    stated = [fact for one in found for fact in one.facts if not fact.denied]
    assert len(stated) > 300
    assert sum(fact.denied for one in found for fact in one.facts) > 60
    assert sum(not one.facts for one in found) > 10, "some reviews say nothing"
    decided = [one for one in found if len(one.possible) == 1]
    assert len(decided) > 60
    more = [one for row in range(3 * len(ROWS)) for one in source.told(row)]
    assert sum(not one.possible for one in more) > 3, "of some reviews the product is not there"


def test_a_fact_is_true_of_the_product() -> None:
    """Facts leave the product itself possible, unless it was taken from the candidates."""
    found = of_rows(Invented(6))
    whole = [one for one in found if len(one.candidates) == 10 or one.possible]
    assert sum(bool(one.possible) for one in whole) / len(whole) > 0.95


def test_shelves_differ_and_products_of_a_family_share_values() -> None:
    shelves = invent(3, 4)
    ids = [product.id for shelf in shelves for product in shelf.products]
    assert len(set(ids)) == len(ids) > 40
    assert len({shelf.brand_names for shelf in shelves}) == 4
    assert invent(3, 4) == shelves != invent(4, 4)


@pytest.mark.parametrize(
    ("value", "forms"),
    [
        ("512 GB", {"512gb", "512GB", "512 gb", "512 GB", "512-gb", "512-GB"}),
        ("2 L", {"2l", "2L", "2-l", "2-L", "2 l", "2 L", "two l", "two L"}),
        ("Navy Blue", {"navy blue", "Navy Blue"}),
    ],
)
def test_words_for_any_value(value: str, forms: set[str]) -> None:
    rng = np.random.default_rng(0)
    assert {said("key", value, rng) for _ in range(200)} == forms


def test_products_of_a_dataset(twin: Path) -> None:
    found = of_rows(Products(load_dataset(twin), 0))
    assert len(found) > 200
    for one in found:
        assert all(fact.quote in one.review.body for fact in one.facts)
        assert len({product.leaf_category for product in one.candidates}) == 1


def test_real_reviews_state_what_their_product_has(twin: Path) -> None:
    dataset = load_dataset(twin)
    source = Reviews(dataset, "train", 0)
    found = of_rows(source)
    assert found
    split = dataset.split("train")
    for one in found:
        text = f"{one.review.header}\n{one.review.body}\n{one.review.mention}"
        assert all(fact.quote in text for fact in one.facts)
        gold = [product.id for product in one.candidates].index(split.gold[one.review.id])
        assert gold in one.possible
        assert (one.product, one.read) == (gold, bool(one.facts))
    assert {one.read for one in found} == {True, False}


def test_sources_of_datasets(twin: Path) -> None:
    train, dev = sources_of([twin], 3)
    assert [type(one).__name__ for one in train] == ["Products", "Reviews"]
    assert {one.identity for one in train} & {one.identity for one in dev} == set()
    train, dev = sources_of([], 3)
    assert [type(one).__name__ for one in (*train, *dev)] == ["Invented", "Invented"]
    assert train[0].identity != dev[0].identity

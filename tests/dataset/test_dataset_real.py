"""The real datasets against the counts that their own descriptions give."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.dataset.check import check_dataset
from ameli_llm.dataset.load import load_dataset


@pytest.mark.parametrize(
    (
        *("name", "products", "attributes", "described", "product_images"),
        *("mentions", "gold_products", "words", "with_image"),
    ),
    [
        ("bestbuy", 835, 3.9, 0, 0, 1367, 46, 51.5, 0),
        ("walmart", 1819, 9.9, 1797, 0, 542, 528, 115.5, 0),
        ("walmart_amazon", 5247, 1.9, 0, 0, 363, 363, 13.8, 0),
        ("magento", 461, 6.7, 461, 463, 119, 67, 28.3, 87),
    ],
)
def test_counts(
    name: str,
    products: int,
    attributes: float,
    described: int,
    product_images: int,
    mentions: int,
    gold_products: int,
    words: float,
    with_image: int,
    shared_data: Path,
) -> None:
    check = check_dataset(load_dataset(shared_data / name))
    (dev,) = check.splits
    assert check.passed
    assert check.kb.products == products
    assert check.kb.attributes_per_product == pytest.approx(attributes, abs=0.05)
    assert check.kb.with_description == described
    assert check.kb.images == product_images
    assert dev.reviews == dev.scored == mentions
    assert dev.gold_products == gold_products
    assert dev.words_per_review == pytest.approx(words, abs=0.05)
    assert dev.with_image == with_image
    image_findings = [finding.code for finding in check.findings if "image" in finding.code]
    assert image_findings == []


def test_copied_mentions_are_a_slice(shared_data: Path) -> None:
    reviews = load_dataset(shared_data / "walmart").split("dev").reviews
    assert sum(review.slices == ("copied_text",) for review in reviews) == 155
    assert sum(review.slices == () for review in reviews) == 542 - 155


def test_no_bestbuy_review_quotes_its_product(shared_data: Path) -> None:
    check = check_dataset(load_dataset(shared_data / "bestbuy"))
    assert [finding.code for finding in check.findings] == ["no_description", "mention_in_gold_title"]

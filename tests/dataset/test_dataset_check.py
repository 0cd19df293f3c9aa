from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.dataset.check import Check, check_dataset
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.statistics import CategoryShare, KBStatistics, SplitStatistics

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


def named(check: Check) -> dict[str, list[str]]:
    return {
        finding.code: [f"{problem.where}: {problem.message}" for problem in finding.problems]
        for finding in check.findings
    }


def test_clean_dataset(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    check = check_dataset(load_dataset(write_dataset([product_record()], test=[review_record()])))
    assert check.findings == ()
    assert check.passed


def test_statistics(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    row = {"specification": "A", "value": "1"}
    products = [
        product_record(1, image_path=["a.jpg", "b.jpg"], product_category="Shop -> Toys"),
        product_record(
            2, image_path=["c.jpg"], product_category="Shop -> Old -> Toys", overview_section=None
        ),
        product_record(3, Spec=[{"subsection": "All", "text": [row, row]}], product_category="Shop -> Books"),
        product_record(4, Spec=None, product_category=None),
    ]
    reviews = [
        review_record(1, header="One two", body="three", review_image_path=["x.jpg", "y.jpg"]),
        review_record(2, header="", body="four", gold_entity_info={"id": None}),
        review_record(3, header="", body="five six", gold_entity_info=None),
        review_record(4, header="", body="", review_image_path=["z.jpg"]),
    ]
    check = check_dataset(load_dataset(write_dataset(products, val=reviews)))
    assert check.kb == KBStatistics(
        products=4,
        images=3,
        categories=3,
        images_per_product=0.75,
        attributes=4,
        attributes_per_product=1.0,
        with_description=3,
        top_categories=(
            CategoryShare("Toys", 2, 0.5),
            CategoryShare("(none)", 1, 0.25),
            CategoryShare("Books", 1, 0.25),
        ),
    )
    assert check.splits == (
        SplitStatistics(
            name="dev",
            reviews=4,
            images=3,
            images_per_review=0.75,
            with_image=2,
            words_per_review=1.5,
            scored=2,
            nil=1,
            gold_products=1,
        ),
    )


def test_ten_most_frequent_categories(write_dataset: Write, product_record: Make) -> None:
    products = [product_record(i, product_category=f"Shop -> C{i % 12:02}") for i in range(25)]
    top = check_dataset(load_dataset(write_dataset(products))).kb.top_categories
    assert [(row.category, row.products) for row in top[:3]] == [("C00", 3), ("C01", 2), ("C02", 2)]
    assert len(top) == 10


def test_degraded_records(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    products = [
        product_record(1),
        product_record(2, product_name=" ", overview_section=None, Spec=[]),
        product_record(1),
    ]
    reviews = [
        review_record(1, header=" ", body=None),
        review_record(2, mention=None, gold_entity_info=None),
        review_record(3, gold_entity_info={"id": 9}),
        review_record(3),
        review_record(4, body="I love my ACME  -\nBreeze 1 - Red."),
    ]
    check = check_dataset(load_dataset(write_dataset(products, dev=reviews)))
    assert named(check) == {
        "duplicate_product_id": ["product 1: record 3 repeats the id; the first record is kept"],
        "duplicate_review_id": ["dev review 3: record 4 repeats the id; the first record is kept"],
        "gold_not_in_kb": [
            "dev review 3: gold product 9 is not in the KB; a product known to be outside it has the id null"
        ],
        "empty_text": ["dev review 1: has neither header nor body"],
        "gold_title_in_review": [
            "dev review 4: quotes the name of its gold product: 'Acme - Breeze 1 - Red'"
        ],
        "no_attributes": ["product 2: has no attribute"],
        "no_description": ["product 2: has no description"],
        "no_gold": ["dev review 2: has no gold product: linked, not scored"],
        "no_mention": ["dev review 2: has no mention"],
        "no_name": ["product 2: has no name"],
    }
    assert [finding.severity for finding in check.findings] == ["error"] * 3 + ["warning"] * 7
    assert not check.passed


@pytest.mark.parametrize(
    ("body", "name", "quoted"),
    [
        ("my tv pro is big", "TV Pro", True),
        ("(TV  Pro)", "TV Pro", True),
        ("my tv prof", "TV Pro", False),
        ("utv pro, and then TV PRO", "TV Pro", True),
        ("utv pro", "TV Pro", False),
        ("anything", "", False),
    ],
)
def test_gold_title_in_review(
    body: str, name: str, quoted: bool, write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    products = [product_record(1, product_name=name)]
    check = check_dataset(load_dataset(write_dataset(products, dev=[review_record(body=body)])))
    assert ("gold_title_in_review" in named(check)) is quoted


def test_title_of_a_product_outside_the_kb(
    write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    review = review_record(body="My Zed 9 hums.", gold_entity_info={"id": None, "product_name": "Zed 9"})
    check = check_dataset(load_dataset(write_dataset([product_record()], dev=[review])))
    assert named(check) == {
        "gold_title_in_review": ["dev review 7: quotes the name of its gold product: 'Zed 9'"]
    }


def test_gold_product_in_two_splits(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    products = [product_record(1), product_record(2)]
    other = review_record(8, gold_entity_info={"id": 2})
    root = write_dataset(products, train=[review_record(1), other], test=[review_record(2)])
    check = check_dataset(load_dataset(root))
    assert named(check) == {
        "gold_in_several_splits": [
            "product 1: is a gold product in train and test: what is trained or tuned on one leaks"
        ]
    }
    assert check.passed


@pytest.mark.parametrize("splits", [{}, {"dev": []}])
def test_nothing_to_link(splits: dict[str, list[Any]], write_dataset: Write) -> None:
    check = check_dataset(load_dataset(write_dataset([], **splits)))
    assert named(check) == {
        "no_products": ["the KB: holds no product"],
        "no_reviews": ["the dataset: holds no review in train, dev or test"],
    }
    assert check.kb.attributes_per_product == 0.0
    assert not check.passed


def test_images(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    product = product_record(image_path=["good.png", "none.jpg", "text.jpg"])
    review = review_record(review_image_path=["cut.jpg", "empty.jpg", "../x.jpg"])
    root = write_dataset([product], dev=[review])
    for folder in ("product_images", "review_images"):
        (root / folder).mkdir()
    Image.new("RGB", (8, 8)).save(root / "product_images/good.png")
    (root / "product_images/text.jpg").write_text("text")
    Image.effect_noise((99, 99), 50).save(root / "review_images/cut.jpg")
    content = (root / "review_images/cut.jpg").read_bytes()
    (root / "review_images/cut.jpg").write_bytes(content[:-500])
    (root / "review_images/empty.jpg").touch()

    seen: list[tuple[str, int, int]] = []
    dataset = load_dataset(root)
    found = named(check_dataset(dataset, progress=lambda *step: seen.append(step)))
    assert seen == [("images", 5, 5)]
    (truncated,) = found.pop("image_truncated")
    assert truncated.startswith("dev review 7: Image cut.jpg: truncated (image file is truncated")
    fast = named(check_dataset(dataset, decode=False))
    assert (
        found
        == fast
        == {
            "bad_image_name": ["dev review 7: image name '../x.jpg' is not a bare file name; dropped"],
            "image_empty": ["dev review 7: Image empty.jpg: empty (0 bytes)."],
            "image_missing": ["product 1: no file 'none.jpg'"],
            "image_not_an_image": [
                "product 1: Image text.jpg: not an image (no JPEG, PNG or WebP signature)."
            ],
        }
    )

"""Raw rows as records: what passes of them, what does not, and where reading goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.dataset.construction.raw import RawReview, RawTables, raw_files
from ameli_llm.dataset.importing.losses import LeftOutError, Losses
from ameli_llm.dataset.importing.plan import plan_import
from ameli_llm.errors import AmeliError

PRODUCT = {"id": 1, "product_name": "Acme Kettle", "product_category": "Kettles", "Spec": [], "price": 9}
REVIEW = {
    "review_id": 7,
    "user": "somebody",
    "header": "Hot",
    "body": "My kettle\u0000 is hot",
    "mention": "kettle",
    "feedback": {"number_helpful": "2", "number_unhelpful": None},
    "review_image_path": ["chosen.jpg"],
    "review_image_path_before_select": ["chosen.jpg", "other.jpg"],
    "gold_entity_info": {"id": 1},
    "predicted_attribute": {"Color": "red"},
    "fused_candidate_list": [1],
    "verified": True,
    "productDetails": {"sku": 1},
}


def tables(raw: Path, *reviews: Any) -> RawTables:
    raw.mkdir()
    (raw / "product_images").mkdir()
    (raw / "product_images" / "list.json").write_text("[]", encoding="utf-8")
    (raw / "products.json").write_text(json.dumps([PRODUCT]), encoding="utf-8")
    lines = "".join(f"{json.dumps(review)}\n" for review in reviews)
    (raw / "reviews.jsonl").write_text(lines, encoding="utf-8")
    return RawTables(plan_import(raw_files(raw)), raw, {})


def read(raw: RawTables, skip: int = 0) -> list[RawReview]:
    return [raw.review(row) for row in raw.each("reviews", Losses(), skip)]


def test_nothing_that_leans_on_gold_passes(tmp_path: Path) -> None:
    (review,) = read(tables(tmp_path / "raw", REVIEW))
    assert review.record == {
        "review_id": 7,
        "header": "Hot",
        "body": "My kettle is hot",
        "mention": "",
        "feedback": {"number_helpful": "2", "number_unhelpful": None},
        "review_image_path": ["chosen.jpg", "other.jpg"],
        "gold_entity_info": {"id": 1},
        "verified": True,
    }
    assert (review.text, review.votes, review.details) == ("Hot. My kettle is hot", (2, 0), {"sku": 1})


def test_a_product_keeps_the_fields_of_the_format(tmp_path: Path) -> None:
    raw = tables(tmp_path / "raw", REVIEW)
    (row,) = raw.each("products", Losses())
    record, product = raw.product(row, lambda what, reason: None)
    assert record == {key: value for key, value in PRODUCT.items() if key != "price"}
    assert product.leaf_category == "Kettles"


def test_reading_goes_on_at_any_row(tmp_path: Path) -> None:
    raw = tables(tmp_path / "raw", *(REVIEW | {"review_id": number} for number in range(5)))
    assert [review.position for review in read(raw, skip=3)] == [3, 4]
    assert [review.record["review_id"] for review in read(raw, skip=3)] == [3, 4]


def test_a_record_that_is_none_says_why(tmp_path: Path) -> None:
    raw = tables(tmp_path / "raw", REVIEW, REVIEW | {"review_image_path_before_select": None, "body": 5})
    good, bad = raw.each("reviews", Losses())
    assert raw.review(good).images == ("chosen.jpg", "other.jpg")
    with pytest.raises(LeftOutError, match="field body must be a string"):
        raw.review(bad)


def test_tables_are_found_below_the_folder(tmp_path: Path) -> None:
    tables(tmp_path / "raw", REVIEW)
    assert [path.name for path in raw_files(tmp_path)] == ["products.json", "reviews.jsonl"]
    with pytest.raises(AmeliError, match="No folder at"):
        raw_files(tmp_path / "absent")

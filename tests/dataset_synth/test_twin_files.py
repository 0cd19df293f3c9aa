"""The folder that write_twin leaves: bytes, format, splits, refusals."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.errors import AmeliError

SPLITS = ("train", "dev", "test")


def tree(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def reviews_of(twin: Path) -> list[dict[str, Any]]:
    return [record for split in SPLITS for record in read(twin / split / "reviews.json")]


def test_equal_arguments_give_equal_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_twin(tmp_path / name, products=20, reviews=30, seed=seed)
    a, b, c = (tree(tmp_path / name) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())


def test_difficulty_changes_the_reviews(tmp_path: Path) -> None:
    for name, difficulty in (("easy", 0.0), ("hard", 1.0)):
        write_twin(tmp_path / name, products=20, reviews=10, seed=5, difficulty=difficulty)
    assert read(tmp_path / "easy/train/reviews.json") != read(tmp_path / "hard/train/reviews.json")


def test_product_records_have_the_fields_of_the_release(twin: Path) -> None:
    products = read(twin / "products.json")
    assert [p["id"] for p in products] == list(range(1, 61))
    for product in products:
        assert list(product) == [
            "id", "product_name", "product_category", "url", "overview_section", "Spec", "image_path",
            "image_url",
        ]  # fmt: skip
        assert product["product_name"].count(" - ") >= 2
        assert product["product_category"].startswith("Best Buy -> ")
        assert 1 <= len(product["image_path"]) <= 3
        assert len(product["overview_section"]["features"]) == 3
        for section in product["Spec"]:
            assert list(section) == ["subsection", "text"]
            assert all(list(row) == ["specification", "value"] for row in section["text"])
    assert (twin / "products.json").read_text(encoding="utf-8").startswith('[\n    {\n        "id": 1,\n')


def test_review_records_have_the_fields_of_the_release_and_no_others(twin: Path) -> None:
    reviews = reviews_of(twin)
    assert sorted(r["review_id"] for r in reviews) == list(range(1, 121))
    for review in reviews:
        assert list(review) == [
            "review_id", "user", "header", "body", "rating", "recommendation", "feedback", "mention",
            "review_image_path", "review_image_url", "gold_entity_info",
        ]  # fmt: skip
        assert review["rating"] in {"1", "2", "3", "4", "5"}
        assert review["recommendation"] in {"Yes", "No"}
        assert set(review["feedback"]) == {"number_helpful", "number_unhelpful"}
        assert set(review["gold_entity_info"]) == {"id", "product_name", "product_category"}
        assert review["mention"] in review["body"] or review["mention"].lower() in review["body"].lower()
        for name in review["review_image_path"]:
            assert name.startswith(f"{review['review_id']:07d}-")


def test_the_loader_finds_nothing_to_complain_about(twin: Path) -> None:
    dataset = load_dataset(twin)
    assert dataset.splits() == list(SPLITS)
    assert dataset.problems == ()
    for name in SPLITS:
        split = dataset.split(name)
        assert split.problems == ()
        for review in split.reviews:
            gold = split.gold[review.id]
            assert gold is None or dataset.products[gold].name == split.gold_names[review.id]
            assert all(dataset.review_image(image) for image in review.images)
    assert all(dataset.product_image(i) for p in dataset.products.values() for i in p.images)


def test_products_outside_the_kb_are_declared_and_absent(twin: Path) -> None:
    names = {p["product_name"] for p in read(twin / "products.json")}
    outside = [r["gold_entity_info"] for r in reviews_of(twin) if r["gold_entity_info"]["id"] is None]
    assert len(outside) == 7  # 6 % of 120
    assert not names & {gold["product_name"] for gold in outside}


def test_the_title_never_stands_in_the_review(twin: Path) -> None:
    for review in reviews_of(twin):
        text = f"{review['header']} {review['body']} {review['mention']}".lower()
        assert review["gold_entity_info"]["product_name"].lower() not in text


def test_image_sizes_and_cleaned_names(twin: Path) -> None:
    for path in (twin / "product_images").iterdir():
        assert size(path) == (256, 256)
    for path in (twin / "review_images").iterdir():
        assert all(240 <= side <= 340 for side in size(path))
    original = {path.name for path in (twin / "review_images").iterdir()}
    cleaned = {path.name for path in (twin / "cleaned_review_images").iterdir()}
    assert cleaned < original
    assert 0.55 < len(cleaned) / len(original) < 0.85
    for name in cleaned:
        whole, crop = size(twin / "review_images" / name), size(twin / "cleaned_review_images" / name)
        assert crop[0] <= whole[0]
        assert crop[1] <= whole[1]


def test_progress_counts_products_then_reviews(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    write_twin(tmp_path / "t", products=20, reviews=2, seed=0, progress=lambda *call: calls.append(call))
    assert calls == [("products", n, 20) for n in range(1, 21)] + [("reviews", 1, 2), ("reviews", 2, 2)]


def test_no_reviews_leaves_empty_splits(tmp_path: Path) -> None:
    write_twin(tmp_path, products=20, reviews=0, seed=0)
    assert [read(tmp_path / name / "reviews.json") for name in SPLITS] == [[], [], []]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"products": 19}, "A twin of 19 products was asked for. Give 20 to 35598 products."),
        ({"products": 35_599}, "A twin of 35599 products was asked for. Give 20 to 35598 products."),
        ({"products": -1}, "A twin of -1 products was asked for. Give 20 to 35598 products."),
        ({"reviews": -1}, "A twin of -1 reviews was asked for. Give 0 or more reviews."),
        ({"seed": -7}, "The seed -7 is negative. Give 0 or a positive number."),
        ({"difficulty": 1.5}, "The difficulty 1.5 is out of range. Give a number from 0 to 1."),
        ({"difficulty": float("nan")}, "The difficulty nan is out of range. Give a number from 0 to 1."),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    out = tmp_path / "never"
    with pytest.raises(AmeliError) as caught:
        write_twin(out, **{"products": 20, "reviews": 1, "seed": 0, **changed})
    assert str(caught.value) == message
    assert not out.exists()


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(AmeliError, match=r"is not empty\. Name a new or an empty folder\."):
        write_twin(tmp_path, products=20, reviews=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(AmeliError, match=r"^Cannot write a twin to .*out: .*\. Name a new folder\.$"):
        write_twin(tmp_path / "out", products=20, reviews=1, seed=0)

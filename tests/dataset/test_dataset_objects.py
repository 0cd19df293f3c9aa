from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.objects import make_dataset, read_product, read_review
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.types import Product, Review, SpecRow

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
FULL = {
    "id": "B00X1",
    "name": " Acme Breeze\x00 ",
    "category": "Kitchen -> Blenders",
    "description": "A blender.",
    "features": ["Two speeds"],
    "attributes": {"Color": "Red", "Ports": ["HDMI", "USB"], "Speeds": 4, "Weight": None},
    "images": ["front.jpg"],
}


def rows(*pairs: tuple[str, str]) -> tuple[SpecRow, ...]:
    return tuple(SpecRow("All", key, value) for key, value in pairs)


def test_product_of_a_dictionary() -> None:
    assert read_product(FULL) == Product(
        id="B00X1",
        name="Acme Breeze",
        category=("Kitchen", "Blenders"),
        description="A blender.",
        features=("Two speeds",),
        spec=rows(("Color", "Red"), ("Ports", "HDMI"), ("Ports", "USB"), ("Speeds", "4")),
        images=("front.jpg",),
    )
    assert read_product({"id": 3, "name": "Acme"}) == Product(3, "Acme")


@pytest.mark.parametrize(
    ("fields", "product"),
    [
        ({"category": ["Kitchen", " Blenders "]}, Product(1, "A", category=("Kitchen", "Blenders"))),
        ({"category": None, "images": None, "features": None, "description": None}, Product(1, "A")),
        ({"images": Path("a") / "b.jpg"}, Product(1, "A", images=("a/b.jpg",))),
        ({"images": ("a.jpg", Path("b.jpg"))}, Product(1, "A", images=("a.jpg", "b.jpg"))),
        ({"features": "One"}, Product(1, "A", features=("One",))),
        ({"attributes": [{"key": "Color", "value": "Red"}]}, Product(1, "A", spec=rows(("Color", "Red")))),
        ({"attributes": [{"Name": "W", "Value": 1.5}]}, Product(1, "A", spec=rows(("W", "1.5")))),
        ({"attributes": [("Smart", True)]}, Product(1, "A", spec=rows(("Smart", "Yes")))),
        ({"attributes": {"W": float("nan"), "H": 12.0, "": "x"}}, Product(1, "A", spec=rows(("H", "12")))),
    ],
)
def test_forms_of_a_field(fields: dict[str, Any], product: Product) -> None:
    assert read_product({"id": 1, "name": "A"} | fields) == product


def test_ameli_records_and_domain_values_are_taken_too(product_record: Make, review_record: Make) -> None:
    product = read_product(product_record(5, extra=1))
    assert (product.id, product.leaf_category, product.spec[0].section) == (5, "Blenders", "General")
    assert read_product(product) == product
    record = review_record("r1", user="somebody", copied_text=True, review_image_path=["a.jpg"])
    review = read_review(record)
    assert (review.id, review.images, review.slices) == ("r1", ("a.jpg",), ("copied_text",))
    assert read_review(review) == review


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (3, "x: must be an object, found int."),
        ({"name": "A"}, "x: field id is missing."),
        ({"id": 1}, "x: field name is missing."),
        ({"id": None, "name": "A"}, "x: field id must be a whole number or a text"),
        ({"id": 1, "name": 2}, "x: field name must be a string, found 2."),
        (
            {"id": 1, "name": "A", "colour": "red"},
            "x: field colour is not known. Its keys: id, name, category, description, features, attributes,",
        ),
        (
            {"id": 1, "name": "A", "attributes": "red"},
            "x: field attributes must be an object, or a list of objects with key and value.",
        ),
        (
            {"id": 1, "name": "A", "attributes": {"a": {"b": 1}}},
            "x: field attributes has under 'a' neither a text nor a number nor a list of these.",
        ),
        (
            {"id": 1, "name": "A", "attributes": [{"key": "a", "value": 1}, 5]},
            "x: field attributes has no key and value in item 2.",
        ),
        ({"id": 1, "product_name": "A"}, "x: field product_category is missing."),
        (Product("", "A"), "x: the id must be a whole number or a text"),
    ],
)
def test_wrong_product(product: Any, message: str) -> None:
    with pytest.raises(AmeliError) as error:
        read_product(product, "x")
    assert str(error.value).startswith(message)


def test_a_deep_dictionary_is_refused() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(AmeliError) as error:
        read_product({"id": 1, "name": "A", "attributes": deep}, "x")
    assert str(error.value) == "x: is nested too deeply."


def test_dataset_of_objects(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "front.jpg")
    dataset = make_dataset(iter([FULL, Product(2, "B", images=("none.jpg",))]), images=tmp_path / "photos")
    assert list(dataset.products) == ["B00X1", 2]
    assert dataset.root is None
    assert dataset.problems == ()
    assert dataset.splits() == []
    with pytest.raises(UnknownNameError):
        dataset.split("test")
    assert dataset.product_image("front.jpg") == tmp_path / "photos" / "front.jpg"
    assert dataset.product_image("none.jpg") is None
    assert dataset.resolve("2") == 2


def test_wrong_products_are_named_by_position() -> None:
    with pytest.raises(AmeliError, match=r"^product 2: field name is missing\. Its keys: id, name,"):
        make_dataset([FULL, {"id": 2}])
    with pytest.raises(AmeliError, match=r"^product 3: the product id '2' and the id 2 of product 1 have"):
        make_dataset([Product(2, "A"), Product(3, "A"), Product("2", "B")])
    with pytest.raises(AmeliError, match=r"^product 2: the id 2 is that of an earlier"):
        make_dataset([Product(2, "A"), Product(2, "B")])


def test_digest_and_key_of_objects(tmp_path: Path) -> None:
    other = FULL | {"description": "Other."}
    assert make_dataset([FULL]).digest == make_dataset([dict(FULL)]).digest
    assert make_dataset([FULL]).digest != make_dataset([other]).digest
    assert make_dataset([FULL]).key == make_dataset([FULL]).key
    keys = {
        make_dataset([FULL]).key,
        make_dataset([other]).key,
        make_dataset([FULL], images=tmp_path).key,
        make_dataset([FULL], name="shop").key,
        make_dataset([FULL], name="shop", images=tmp_path).key,
    }
    assert len(keys) == 5
    assert make_dataset([FULL], name="shop").key == make_dataset([other], name="shop").key
    assert make_dataset([FULL], name="shop").name == "shop"


def test_file_of_products_alone(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    root = write_dataset([product_record(image_path=["a.jpg"])], dev=[review_record()])
    (root / "product_images").mkdir()
    (root / "product_images" / "a.jpg").write_bytes(b"x")
    whole = load_dataset(root)
    alone = load_dataset(root / "products.json")
    assert (alone.digest, alone.key, alone.name) == (whole.digest, whole.key, whole.name)
    assert alone.splits() == []
    assert alone.product_image("a.jpg") == root / "product_images" / "a.jpg"
    (root / "other.json").write_text(json.dumps([product_record(2)]), "utf-8")
    other = load_dataset(root / "other.json")
    assert (list(other.products), other.name) == ([2], "other")
    assert other.key != whole.key


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my photos" / "one.png"
    path.parent.mkdir()
    Image.new("RGB", (8, 8), "red").save(path)
    return path


def test_review_of_a_dictionary(photo: Path) -> None:
    given = {
        "id": "r\u00e91",
        "header": " Great ",
        "body": "a\x00b\ud83d",
        "mention": " blender ",
        "images": [photo],
    }
    assert read_review(given) == Review("r\u00e91", " Great ", "ab", "blender", (str(photo),))
    assert read_review({"body": "x"}, default_id="line 3") == Review("line 3", body="x")
    assert read_review({"review_id": 5, "header": None}) == Review(5)
    assert read_review({"images": "my photos/one.png"}, images=photo.parents[1]).images == (str(photo),)


def test_images_of_a_review_are_found_by_any_dataset(photo: Path, write_dataset: Write) -> None:
    review = read_review({"images": photo.name}, images=photo.parent)
    for dataset in (load_dataset(write_dataset([])), make_dataset([])):
        assert dataset.review_image(review.images[0]) == photo
        assert dataset.review_image(str(photo) + ".none") is None


def test_records_of_a_dataset_cannot_name_any_file(
    photo: Path, write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    root = write_dataset(
        [product_record(image_path=[str(photo)])], dev=[review_record(review_image_path=[str(photo)])]
    )
    dataset = load_dataset(root)
    assert dataset.products[1].images == dataset.split("dev").reviews[0].images == ()
    assert dataset.product_image(str(photo)) is None
    with pytest.raises(AmeliError, match=r"^x: image name '.*' is not a bare file name\.$"):
        read_review(review_record(review_image_path=[str(photo)]), "x")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing"),
        (b"", "empty"),
        (b"hello", "not_an_image"),
        (b"GIF89a", "unsupported_format"),
        (b"\xff\xd8\xff\xe0\x00", "truncated"),
    ],
)
def test_bad_image_of_a_review(content: bytes | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageProblem) as problem:
        read_review({"body": "x", "images": ["a.jpg"]}, images=tmp_path)
    assert problem.value.reason == reason


@pytest.mark.parametrize("name", ["a\x00.jpg", "x" * 5000, "https://example.org/a.jpg", ".."])
def test_bad_path_of_a_review(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImageProblem) as problem:
        read_review({"images": [name]}, images=tmp_path)
    assert problem.value.reason in ("missing", "not_an_image")


@pytest.mark.parametrize(
    ("review", "message"),
    [
        ("text", "x: must be an object, found str."),
        ({"boddy": "a"}, "x: field boddy is not known. Its keys: id, header, body, mention, images."),
        ({"body": 3}, "x: field body must be a string, found 3."),
        ({"id": "", "body": "a"}, "x: field id must be a whole number or a text"),
        ({"id": 1, "review_id": 1}, "x: field review_id is not known."),
        ({"images": [3]}, "x: field images[0] must be a string, found 3."),
        ({"review_id": 1, "user": "u"}, "x: field header is missing."),
    ],
)
def test_wrong_review(review: Any, message: str) -> None:
    with pytest.raises(AmeliError) as error:
        read_review(review, "x")
    assert str(error.value).startswith(message)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ameli_llm.dataset.records import ProductRecord, RecordError, ReviewRecord, clean, parse
from ameli_llm.types import Product, Review, SpecRow

Make = Callable[..., dict[str, Any]]
ID = "must be a whole number or a text of 1 to 200 characters without control characters"


def test_product_of_a_full_record() -> None:
    record = {
        "id": 412,
        "product_name": " Acme - Breeze 300 Blender - Red ",
        "product_category": "Best Buy -> Small Kitchen Appliances -> Blenders",
        "overview_section": {
            "description": "A compact blender.",
            "features": [
                {"header": "Two speeds", "description": "Pick one."},
                {"header": "Light", "description": None},
                {"header": None, "description": None},
            ],
        },
        "Spec": [
            {"subsection": "Key Specs", "text": [{"specification": "Capacity", "value": " 1.5 quarts "}]},
            {"subsection": "General", "text": [{"specification": "Color", "value": None}]},
            {"subsection": "Other", "text": None},
        ],
        "image_path": ["0000001_sd.jpg", "0000001cv11d.jpg"],
        "unknown": {"is": "ignored"},
    }
    assert parse(ProductRecord, record).product() == Product(
        id=412,
        name="Acme - Breeze 300 Blender - Red",
        category=("Best Buy", "Small Kitchen Appliances", "Blenders"),
        description="A compact blender.",
        features=("Two speeds: Pick one.", "Light"),
        spec=(SpecRow("Key Specs", "Capacity", "1.5 quarts"),),
        images=("0000001_sd.jpg", "0000001cv11d.jpg"),
    )


@pytest.mark.parametrize("empty", [{}, {"overview_section": None, "Spec": None, "image_path": None}])
def test_product_without_optional_fields(empty: dict[str, None]) -> None:
    record = {"id": 0, "product_name": "Acme", "product_category": None} | empty
    assert parse(ProductRecord, record).product() == Product(id=0, name="Acme")


def test_review_keeps_its_texts_as_they_are() -> None:
    record = {
        "review_id": 77,
        "header": " Great ",
        "body": "\U0001f600 \u05e9\u05dc\u05d5\u05dd\n",
        "mention": "blender",
        "review_image_path": ["0000077-1a2b.jpg"],
        "copied_text": True,
        "hard": True,
        "not_this": False,
        "nor_this": 1,
        "gold_entity_info": {"id": 412},
    }
    assert parse(ReviewRecord, record).review() == Review(
        id=77,
        header=" Great ",
        body="\U0001f600 \u05e9\u05dc\u05d5\u05dd\n",
        mention="blender",
        images=("0000077-1a2b.jpg",),
        slices=("copied_text", "hard"),
    )


def test_review_of_nulls() -> None:
    record = {"review_id": 1, "header": None, "body": None, "mention": None, "review_image_path": None}
    assert parse(ReviewRecord, record).review() == Review(id=1)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (412, 412),
        ("412", "412"),
        (" 412 ", " 412 "),
        (412.0, 412),
        ("412.0", "412.0"),
        ("007", "007"),
        ("B00X1", "B00X1"),
        (0, 0),
        (-1, -1),
        (2**63, 2**63),
        (2.0**53, 2**53),
        ("x" * 200, "x" * 200),
        ("ID 5 \u05d0\U0001f600", "ID 5 \u05d0\U0001f600"),
    ],
)
def test_id_comes_back_as_it_came(written: object, read: int | str, product_record: Make) -> None:
    id_ = parse(ProductRecord, product_record(written)).id
    assert (id_, type(id_)) == (read, type(read))


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (4.5, "4.5"),
        (2.0**54, "1.8014398509481984e+16"),
        (True, "true"),
        (None, "null"),
        ("", "''"),
        (" \u00a0 ", "' \\xa0 '"),
        ("a\nb", "'a\\nb'"),
        ("a\x1b[2J", "'a\\x1b[2J'"),
        ("a\u2028b", "'a\\u2028b'"),
        ("a\x85b", "'a\\x85b'"),
        ("x" * 201, "a string"),
        (10**200, "100000000000000000000000"),
        ([1], "a list"),
        ({}, "an object"),
    ],
)
def test_id_that_is_none(written: object, found: str, product_record: Make) -> None:
    with pytest.raises(RecordError) as error:
        parse(ProductRecord, product_record(written))
    assert str(error.value) == f"field id {ID}, found {found}"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"product_name": None}, "field product_name must be a string, found null"),
        ({"product_name": 5}, "field product_name must be a string, found 5"),
        ({"product_category": ["a"]}, "field product_category must be a string, found a list"),
        ({"overview_section": "x"}, "field overview_section must be an object, found 'x'"),
        (
            {"overview_section": {"features": {}}},
            "field overview_section.features must be a list, found an object",
        ),
        ({"Spec": {"Color": "Red"}}, "field Spec must be a list, found an object"),
        ({"Spec": ["Color"]}, "field Spec[0] must be an object, found 'Color'"),
        (
            {"Spec": [{}, {"name": "Color", "value": "Red"}]},
            'field Spec[1] has neither "subsection" nor "text"',
        ),
        (
            {"Spec": [{"subsection": "All", "text": [{"specification": "A", "value": 1.5}]}]},
            "field Spec[0].text[0].value must be a string, found 1.5",
        ),
        (
            {"Spec": [{"subsection": "All", "text": [{"specification": "A"}]}]},
            "field Spec[0].text[0].value is missing",
        ),
        ({"image_path": "a.jpg"}, "field image_path must be a list, found 'a.jpg'"),
        ({"image_path": ["a.jpg", None]}, "field image_path[1] must be a string, found null"),
    ],
)
def test_product_of_wrong_types(fields: dict[str, Any], message: str, product_record: Make) -> None:
    with pytest.raises(RecordError) as error:
        parse(ProductRecord, product_record(**fields))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"body": 3}, "field body must be a string, found 3"),
        ({"header": ["x"]}, "field header must be a string, found a list"),
        ({"review_image_path": "a.jpg"}, "field review_image_path must be a list, found 'a.jpg'"),
        ({"gold_entity_info": 412}, "field gold_entity_info must be an object, found 412"),
        ({"gold_entity_info": {}}, "field gold_entity_info.id is missing"),
        ({"gold_entity_info": {"id": "\t"}}, f"field gold_entity_info.id {ID}, found '\\t'"),
    ],
)
def test_review_of_wrong_types(fields: dict[str, Any], message: str, review_record: Make) -> None:
    with pytest.raises(RecordError) as error:
        parse(ReviewRecord, review_record(**fields))
    assert str(error.value) == message


@pytest.mark.parametrize("field", ["review_id", "header", "body", "mention"])
def test_review_without_a_required_field(field: str, review_record: Make) -> None:
    record = review_record()
    del record[field]
    with pytest.raises(RecordError) as error:
        parse(ReviewRecord, record)
    assert str(error.value) == f"field {field} is missing"


@pytest.mark.parametrize(
    ("record", "found"), [(3, "3"), (None, "null"), ([], "a list"), ("x" * 99, "a string"), (False, "false")]
)
def test_record_that_is_no_object(record: object, found: str) -> None:
    with pytest.raises(RecordError) as error:
        parse(ProductRecord, record)
    assert str(error.value) == f"must be an object, found {found}"


@pytest.mark.parametrize(
    ("value", "cleaned", "removed"),
    [
        ("plain \U0001f600", "plain \U0001f600", 0),
        ("a\x00b\ud83dc", "abc", 2),
        ({"k\x00": ["\x00", 1, None, {"x": "\udfff!"}]}, {"k": ["", 1, None, {"x": "!"}]}, 3),
        (1.5, 1.5, 0),
    ],
)
def test_clean(value: object, cleaned: object, removed: int) -> None:
    result = clean(value)
    assert (result.value, result.removed) == (cleaned, removed)


def test_images_chosen_with_the_gold_product_are_not_taken() -> None:
    record = {"review_id": 1, "header": "", "body": "", "mention": ""}
    images = {"review_image_path": ["b.jpg"], "review_image_path_before_select": ["a.jpg", "b.jpg"]}
    assert parse(ReviewRecord, record | images).review().images == ("a.jpg", "b.jpg")

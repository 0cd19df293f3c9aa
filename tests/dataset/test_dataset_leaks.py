"""What ``data check`` says of leaks, in datasets made in the release's format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.dataset.check import check_dataset
from ameli_llm.dataset.load import load_dataset

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
Named = Callable[..., dict[str, list[str]]]


@pytest.fixture
def named(write_dataset: Write, product_record: Make, review_record: Make) -> Named:
    """named({split: {review id: fields}}, products=...): findings of a dataset, with their messages."""

    def check(splits: dict[str, dict[int, dict[str, Any]]], products: Any = None) -> dict[str, list[str]]:
        records = {
            split: [review_record(review, **fields) for review, fields in reviews.items()]
            for split, reviews in splits.items()
        }
        found = check_dataset(load_dataset(write_dataset(products or [product_record()], **records)))
        assert found.passed, "a leak is a warning"
        assert {finding.severity for finding in found.findings} <= {"warning"}
        return {f.code: [f"{p.where}: {p.message}" for p in f.problems] for f in found.findings}

    return check


def gold(product: int) -> dict[str, Any]:
    return {"gold_entity_info": {"id": product}}


def test_a_mention_from_the_gold_title(named: Named, product_record: Make) -> None:
    titles = ["Acme - Breeze Blender - Red", "Acme Blender", "Zed Mixer", "Blenderette"]
    products = [product_record(i, product_name=name) for i, name in enumerate(titles, start=1)]
    found = named(
        {
            "dev": {
                1: {"mention": "BLENDER"},  # in the titles of 1 and 2
                2: {"mention": "breeze  blender"},  # in that of 1
                3: {"mention": "blend"},  # a part of a word
                4: {"mention": "mixer"},  # in another title
                5: {"mention": ""},
                6: {"mention": "Zed", **gold(3)},
                7: {"mention": "Breeze", "gold_entity_info": {"id": None, "product_name": "Breeze"}},
            }
        },
        products,
    )
    says = "stands in the title of its gold product, and in"
    assert found == {
        "mention_in_gold_title": [
            f"dev review 1: mention 'BLENDER' {says} 1 of 3 others",
            f"dev review 2: mention 'breeze  blender' {says} 0 of 3 others",
            f"dev review 6: mention 'Zed' {says} 0 of 3 others",
        ],
        "no_mention": ["dev review 5: has no mention"],
    }


def test_a_mention_in_every_title_tells_nothing(named: Named, product_record: Make) -> None:
    products = [product_record(i, product_name=f"Blender {i}") for i in (1, 2)]
    assert named({"dev": {1: {"mention": "blender"}}}, products) == {}


@pytest.mark.parametrize(
    ("length", "expected"), [(0, 10), (9, 10), (10, None), (11, 100), (99, 100), (100, None), (120, None)]
)
def test_short_candidate_lists(named: Named, length: int, expected: int | None) -> None:
    found = named({"test": {1: {"fused_candidate_list": list(range(1, length + 1))}}})
    message = f"test review 1: fused_candidate_list has {length} products, not {expected}"
    assert found.get("short_candidate_list") == ([message] if expected else None)


def test_gold_in_the_score_dictionary_only(named: Named) -> None:
    ten = list(range(2, 12))
    scores = {str(i): {"fused_score": 0.5} for i in ten}
    missed = scores | {"1": {"fused_score": 0.1, "gold_product_position_in_retrieval": 40}}
    found = named(
        {
            "test": {
                1: {"fused_candidate_list": ten, "fused_score_dict": missed},
                2: {"fused_candidate_list": [1, *ten[1:]], "fused_score_dict": missed},
                3: {"fused_candidate_list": ten, "fused_score_dict": scores},
            }
        }
    )
    assert found == {
        "gold_only_in_score_dict": [
            "test review 1: gold product 1 is in fused_score_dict, not in fused_candidate_list"
        ]
    }


def test_attribute_keys_from_gold(named: Named) -> None:
    from_gold = {"gold_attribute_for_predicted_category": {"Color": "red", "Brand": "acme"}}
    found = named(
        {
            "test": {
                1: {"predicted_attribute": {"Brand": "zed", "Color": "blue"}, **from_gold},
                2: {"predicted_attribute": {"Color": "red"}, **from_gold},
                3: {"predicted_attribute": {}, "gold_attribute_for_predicted_category": {}},
                4: {"attribute": {"Brand": ["zed"], "Color": ["x", "y"]}, **from_gold},
                5: {"predicted_attribute": None, **from_gold},
            }
        }
    )
    says = "has exactly the keys of gold_attribute_for_predicted_category"
    assert found == {
        "attribute_keys_from_gold": [
            f"test review 1: predicted_attribute {says}",
            f"test review 4: attribute {says}",
        ]
    }


OWN, OTHER = {"attribute": {"Color": ["RED"], "Brand": "acme"}}, {"attribute": {"Color": "blue"}}


@pytest.mark.parametrize(
    ("train", "test", "leaks"),
    [
        (({1: OWN, 2: OWN, 3: {}}), {4: OWN, 5: OTHER}, "in all 2 records that have it; in test in 1 of 2"),
        (({1: OWN}), {}, "in all 1 records that have it; in test in 0 of 0"),
        (({1: OWN, 2: OTHER}), {4: OTHER}, None),  # train has other values too
        (({1: OWN}), {4: OWN}, None),  # test is no different
        (({1: {}}), {4: OTHER}, None),
    ],
)
def test_attribute_values_from_gold(
    named: Named, train: dict[int, Any], test: dict[int, Any], leaks: str | None
) -> None:
    found = named({"train": train, "test": {i: fields | gold(1) for i, fields in test.items()}})
    said = found.get("attribute_values_from_gold", [])
    assert said == ([f"train: attribute holds values of the gold product alone {leaks}"] if leaks else [])


def test_images_chosen_with_gold(named: Named) -> None:
    before = {"review_image_path_before_select": ["a.jpg", "b.jpg"]}
    pair = {"review_special_product_info": {"1": {"image_path": ["x.jpg"]}}}
    found = named({"train": {1: before | pair, 2: {}}, "val": {3: pair}, "test": {4: before | pair}})
    says = "its image was chosen by comparing with product images, gold's included"
    assert found["image_chosen_with_gold"] == [
        f"train review 1: {says} (review_image_path_before_select)",
        f"dev review 3: {says} (review_special_product_info)",
    ]


def test_stage_fields_of_another_shape_are_named(named: Named) -> None:
    found = named({"dev": {1: {"fused_candidate_list": "1,2"}, 2: {"fused_score_dict": ["x"]}}})
    assert found["stage_field_unread"] == [
        "dev record 1: field fused_candidate_list must be a list, found '1,2': not audited",
        "dev record 2: field fused_score_dict must be an object, found a list: not audited",
    ]


def test_a_repeated_review_is_audited_once(
    write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    twice = [review_record(1, fused_candidate_list=[1]), review_record(1, fused_candidate_list=[1, 2])]
    found = check_dataset(load_dataset(write_dataset([product_record()], dev=twice)))
    assert {finding.code: finding.count for finding in found.findings} == {
        "duplicate_review_id": 1,
        "short_candidate_list": 1,
    }

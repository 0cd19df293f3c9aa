from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.dataset.check import check_dataset
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("products", "gold", "found"),
    [
        ([412], 412, 412),
        ([412], "412", 412),
        (["412"], 412, "412"),
        (["B00X1"], "B00X1", "B00X1"),
        (["007", 7], "007", "007"),
        (["007", 7], 7, 7),
        ([412], 412.0, 412),
        ([412], "413", None),
        ([412], " 412", None),
    ],
)
def test_gold_is_found_by_its_text(
    products: list[Any],
    gold: Any,
    found: Any,
    write_dataset: Write,
    product_record: Make,
    review_record: Make,
) -> None:
    reviews = [review_record("r1", gold_entity_info={"id": gold})]
    dataset = load_dataset(write_dataset([product_record(id_) for id_ in products], dev=reviews))
    assert list(dataset.products) == products
    split = dataset.split("dev")
    assert dict(split.gold) == {"r1": found}
    assert type(split.gold["r1"]) is type(found)
    assert [problem.code for problem in split.problems] == (["gold_not_in_kb"] if found is None else [])


def test_products_of_the_same_text_are_refused(write_dataset: Write, product_record: Make) -> None:
    root = write_dataset([product_record(5), product_record(6), product_record("5")])
    with pytest.raises(AmeliError) as error:
        load_dataset(root)
    path = root / "products.json"
    assert str(error.value) == (
        f"{path}, record 3: the product id '5' and the id 5 of {path}, record 1 have the same text. "
        "Write all ids as numbers, or all as strings."
    )


def test_reviews_of_the_same_text_are_refused(
    write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    root = write_dataset([product_record()], dev=[review_record("7"), review_record(7)])
    with pytest.raises(AmeliError) as error:
        load_dataset(root).split("dev")
    path = root / "dev" / "reviews.json"
    assert str(error.value).startswith(
        f"{path}, record 2: the review id 7 and the id '7' of {path}, record 1 have the same text."
    )


def test_check_of_mixed_ids(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    """Ids are sorted in several places; integers and strings have an order together."""
    products = [product_record(id_) for id_ in ("B00X1", 10, "9", 2)]
    reviews = [review_record(f"r{n}", gold_entity_info={"id": p["id"]}) for n, p in enumerate(products)]
    check = check_dataset(load_dataset(write_dataset(products, dev=reviews, test=reviews)))
    assert check.passed
    (shared,) = (finding for finding in check.findings if finding.code == "gold_in_several_splits")
    assert [problem.where for problem in shared.problems] == [
        "product 2",
        "product 10",
        "product 9",
        "product B00X1",
    ]


def test_digest_tells_a_number_from_its_text(write_dataset: Write, product_record: Make) -> None:
    digests = {
        load_dataset(write_dataset([product_record(1) | {"id": id_}])).digest for id_ in (5, "5", 5.0, "05")
    }
    assert len(digests) == 3


def test_gold_in_the_release_s_objects(
    write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    """Keys of JSON objects are texts, ids in its lists are numbers: both name the same product."""
    stages = {"fused_candidate_list": list(range(2, 12)), "fused_score_dict": {"1": {}, "2": {}}}
    reviews = [
        review_record(1, **stages),
        review_record(2, **stages, gold_entity_info={"id": 2}),
        review_record(3, **stages, gold_entity_info={"id": None}),
        review_record(4, fused_candidate_list=["2"], fused_score_dict={"1": {}, "2": {}}),
    ]
    root = write_dataset([product_record(id_) for id_ in (1, 2, "None")], dev=reviews)
    findings = {finding.code: finding for finding in check_dataset(load_dataset(root)).findings}
    only = findings["gold_only_in_score_dict"]
    assert [problem.where for problem in only.problems] == ["dev review 1", "dev review 4"]
    assert "stage_field_unread" not in findings


def test_numbers_that_are_none_do_not_spoil_a_file(tmp_path: Path, product_record: Make) -> None:
    (tmp_path / "products.json").write_text(json.dumps([product_record(1, price=float("nan"))]), "utf-8")
    assert list(load_dataset(tmp_path).products) == [1]

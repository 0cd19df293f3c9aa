from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.dataset.image_files import is_image_name
from ameli_llm.dataset.load import Problem, load_dataset
from ameli_llm.errors import AmeliError, UnknownNameError

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


def test_plain_layout(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    root = write_dataset([product_record(2), product_record(1)], dev=[review_record()], test=[])
    dataset = load_dataset(root)
    assert list(dataset.products) == [2, 1]
    assert dataset.splits() == ["dev", "test"]
    split = dataset.split("dev")
    assert [review.id for review in split.reviews] == [7]
    assert dict(split.gold) == {7: 1}
    assert dict(split.gold_names) == {7: "Acme - Breeze 1 - Red"}
    assert dataset.problems == split.problems == ()
    assert dataset.split("test").reviews == ()
    assert gc.isenabled()


@pytest.mark.parametrize("folder", ["dev", "val"])
@pytest.mark.parametrize("asked", ["dev", "val"])
def test_val_is_dev(
    folder: str, asked: str, write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    dataset = load_dataset(write_dataset([product_record()], **{folder: [review_record()]}))
    assert dataset.splits() == ["dev"]
    assert dataset.split(asked).name == "dev"


def test_unknown_split(write_dataset: Write) -> None:
    dataset = load_dataset(write_dataset([], dev=[], train=[]))
    with pytest.raises(UnknownNameError) as error:
        dataset.split("tets")
    assert str(error.value) == "No split named 'tets'. Available: dev, train."
    with pytest.raises(UnknownNameError) as error:
        dataset.split("test")
    assert str(error.value).startswith("No split named 'test'. Available: dev, train.")


def test_release_names_and_stages(tmp_path: Path, product_record: Make, review_record: Make) -> None:
    files = {
        "bestbuy_products_40000_3.4.19_final_format.json": [product_record()],
        "val/bestbuy_review_2.3.17.0.1_format_wo_candidates_review_id.json": [review_record(1)],
        "val/retrieval/bestbuy_review_2.3.17.7.1_top10.json": [review_record(2)],
        "val/disambiguation/bestbuy_review_2.3.17.11.json": [review_record(3)],
        "test/disambiguation/bestbuy_review_b.json": [review_record(5)],
        "test/disambiguation/bestbuy_review_a.json": [review_record(4)],
        "train/deeper/bestbuy_review_x.json": [review_record(6)],
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    dataset = load_dataset(tmp_path)
    assert dataset.splits() == ["train", "dev", "test"]
    assert {name: dataset.split(name).reviews[0].id for name in dataset.splits()} == {
        "train": 6,
        "dev": 1,
        "test": 4,
    }
    assert dataset.split("train").problems == ()
    assert dataset.split("dev").problems == (
        Problem(
            "several_files",
            "val/bestbuy_review_2.3.17.0.1_format_wo_candidates_review_id.json",
            "read; left aside: val/disambiguation/bestbuy_review_2.3.17.11.json, "
            "val/retrieval/bestbuy_review_2.3.17.7.1_top10.json",
            "warning",
        ),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON: Expecting value, line 1 column 1"),
        ("{oops", "not JSON: Expecting property name enclosed in double quotes, line 1 column 2"),
        ('[{"id": 1,\n  "id" 2}]', "not JSON: Expecting ':' delimiter, line 2 column 8"),
        ('["a\x00b"]', "not JSON: Invalid control character at, line 1 column 4"),
        ("[" * 100_000, "nested more than 64 deep"),
        ('[["\\u0000", ' + "[" * 70 + "]" * 70 + "]]", "nested more than 64 deep"),
        ('[["\\u0000", ' + "[" * 1000 + "]" * 1000 + "]]", "nested more than 64 deep"),
        ('[["\\u0000", ' + "[" * 100_000 + "]" * 100_000 + "]]", "nested more than 64 deep"),
        ('[{"id": ' + "1" * 5000 + "}]", "number 11111111111111111111... out of range"),
    ],
)
def test_products_that_cannot_be_read(text: str, message: str, write_dataset: Write) -> None:
    root = write_dataset(text)
    with pytest.raises(AmeliError) as error:
        load_dataset(root)
    assert str(error.value) == f"Cannot read {root / 'products.json'}: {message}."


@pytest.mark.parametrize(("text", "found"), [("{}", "an object"), ("null", "null"), ("7", "7")])
def test_products_that_are_no_array(text: str, found: str, write_dataset: Write) -> None:
    root = write_dataset(text)
    with pytest.raises(AmeliError) as error:
        load_dataset(root)
    assert str(error.value) == f"{root / 'products.json'} must hold an array of records, found {found}."


def test_products_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "products.json").write_bytes(b'["\xff"]')
    with pytest.raises(AmeliError) as error:
        load_dataset(tmp_path)
    assert str(error.value) == f"Cannot read {tmp_path / 'products.json'}: not UTF-8: byte 2."


def test_byte_order_mark_is_no_fault(tmp_path: Path, product_record: Make) -> None:
    (tmp_path / "products.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([product_record()]).encode())
    assert list(load_dataset(tmp_path).products) == [1]


def test_missing_folder_and_missing_products(tmp_path: Path) -> None:
    with pytest.raises(AmeliError) as error:
        load_dataset(tmp_path / "none")
    assert str(error.value) == (
        f"No dataset folder at {tmp_path / 'none'}. 'ameli-llm data synth OUT' makes a synthetic one."
    )
    with pytest.raises(AmeliError) as error:
        load_dataset(tmp_path)
    assert str(error.value) == (
        f"No products in {tmp_path}: neither products.json nor bestbuy_products*final_format*.json. "
        "'ameli-llm data synth OUT' makes a synthetic dataset."
    )


def test_wrong_type_names_file_record_and_field(
    write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    root = write_dataset([product_record(1), product_record(2, image_path=7)])
    with pytest.raises(AmeliError) as error:
        load_dataset(root)
    assert str(error.value) == (
        f"{root / 'products.json'}, record 2: field image_path must be a list, found 7."
    )
    root = write_dataset([product_record()], test=[review_record(7.5)])
    with pytest.raises(AmeliError) as error:
        load_dataset(root).split("test")
    assert str(error.value) == (
        f"{root / 'test/reviews.json'}, record 1: "
        "field review_id must be a whole number or a text of 1 to 200 characters without control characters, "
        "found 7.5."
    )


def test_duplicate_ids_keep_the_first(
    write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    products = [product_record(1), product_record(2), product_record(1, product_name="Other")]
    dataset = load_dataset(write_dataset(products, dev=[review_record(7), review_record(7, body="Other")]))
    assert dataset.products[1].name == "Acme - Breeze 1 - Red"
    assert dataset.problems == (
        Problem(
            "duplicate_product_id", "product 1", "record 3 repeats the id; the first record is kept", "error"
        ),
    )
    split = dataset.split("dev")
    assert [review.body for review in split.reviews] == ["My red blender is quiet."]
    assert split.problems == (
        Problem(
            "duplicate_review_id", "review 7", "record 2 repeats the id; the first record is kept", "error"
        ),
    )


def test_gold_in_all_its_forms(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    reviews = [
        review_record(1, gold_entity_info={"id": "1"}),
        review_record(2, gold_entity_info={"id": None, "product_name": "Elsewhere"}),
        review_record(3, gold_entity_info={"id": 99, "product_name": "Lost"}),
        review_record(4, gold_entity_info=None),
        {key: value for key, value in review_record(5).items() if key != "gold_entity_info"},
    ]
    split = load_dataset(write_dataset([product_record()], dev=reviews)).split("dev")
    assert dict(split.gold) == {1: 1, 2: None, 3: None}
    assert dict(split.gold_names) == {1: "", 2: "Elsewhere", 3: "Lost"}
    assert split.problems == (
        Problem(
            "gold_not_in_kb",
            "review 3",
            "gold product 99 is not in the KB; a product known to be outside it has the id null",
            "error",
        ),
    )


def test_characters_that_no_text_can_hold(
    write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    review = review_record(body="a\x00b \ud83d c \U0001f600")
    product = product_record(product_name="Acme\x00")
    dataset = load_dataset(write_dataset([product], dev=[review, review_record(8)]))
    split = dataset.split("dev")
    assert dataset.products[1].name == "Acme"
    assert split.reviews[0].body == "ab  c \U0001f600"
    message = "NUL or lone surrogate characters removed"
    assert dataset.problems == (Problem("unclean_text", "product 1", f"1 {message}", "warning"),)
    assert split.problems == (Problem("unclean_text", "review 7", f"2 {message}", "warning"),)


@pytest.mark.parametrize("body", ["x", "long text " * 10_000, "\u202eright to left", "\U0001f600" * 50])
def test_any_body_is_accepted_as_it_is(
    body: str, write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    split = load_dataset(write_dataset([product_record()], dev=[review_record(body=body)])).split("dev")
    assert split.reviews[0].body == body
    assert split.problems == ()


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a.jpg", True),
        ("a..b.jpg", True),
        ("x" * 255, True),
        ("x" * 256, False),
        ("\u00e9" * 128, False),
        ("", False),
        (" ", False),
        (".", False),
        ("..", False),
        ("../a.jpg", False),
        ("/etc/hosts", False),
        ("a\\b.jpg", False),
        ("a\x00.jpg", False),
    ],
)
def test_image_name(name: str, good: bool) -> None:
    assert is_image_name(name) is good


def test_bad_image_names_are_dropped(write_dataset: Write, product_record: Make, review_record: Make) -> None:
    product = product_record(image_path=["good.jpg", "../../secret.jpg"])
    review = review_record(review_image_path=["/etc/hosts", "good.jpg"])
    dataset = load_dataset(write_dataset([product], dev=[review]))
    split = dataset.split("dev")
    assert dataset.products[1].images == split.reviews[0].images == ("good.jpg",)
    assert dataset.problems == (
        Problem(
            "bad_image_name",
            "product 1",
            "image name '../../secret.jpg' is not a bare file name; dropped",
            "warning",
        ),
    )
    assert [problem.message for problem in split.problems] == [
        "image name '/etc/hosts' is not a bare file name; dropped"
    ]


def test_image_files(write_dataset: Write, tmp_path: Path) -> None:
    root = write_dataset([])
    outside = tmp_path / "outside.jpg"
    for path in (
        root / "product_images/p.jpg",
        root / "review_images/both.jpg",
        root / "review_images/original.jpg",
        root / "cleaned_review_images/both.jpg",
        outside,
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (root / "review_images/leaves.jpg").symlink_to(outside)
    (root / "review_images/stays.jpg").symlink_to(root / "product_images/p.jpg")
    (root / "review_images/broken.jpg").symlink_to(root / "nowhere")
    (root / "review_images/folder.jpg").mkdir()
    (tmp_path / "link").symlink_to(root)
    for home in (root, tmp_path / "link"):
        dataset = load_dataset(home)
        assert dataset.product_image("p.jpg") == home / "product_images/p.jpg"
        assert dataset.product_image("both.jpg") is None
        assert dataset.review_image("both.jpg") == home / "cleaned_review_images/both.jpg"
        assert dataset.review_image("original.jpg") == home / "review_images/original.jpg"
        assert dataset.review_image("stays.jpg") == home / "review_images/stays.jpg"
        for name in ("leaves.jpg", "broken.jpg", "folder.jpg", "none.jpg", "../products.json", ".."):
            assert dataset.review_image(name) is None


def test_digest_changes_with_content_only(write_dataset: Write, product_record: Make) -> None:
    def digest(*products: dict[str, Any]) -> str:
        return load_dataset(write_dataset(list(products))).digest

    one, two = product_record(1), product_record(2)
    assert digest(one, two) == digest(two, one) == digest(one | {"url": "elsewhere"}, two)
    changes: list[dict[str, Any]] = [
        {"id": 3},
        {"product_name": "x"},
        {"product_category": "x"},
        {"overview_section": None},
        {"Spec": []},
        {"image_path": ["x.jpg"]},
    ]
    assert len({digest(one, two), *(digest(one | change, two) for change in changes)}) == 1 + len(changes)


def test_split_digest_changes_with_gold(
    write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    golds: list[Any] = [{"id": 1}, {"id": 2}, {"id": None}, None]
    products = [product_record(1), product_record(2)]
    digests = {
        load_dataset(write_dataset(products, dev=[review_record(gold_entity_info=gold)])).split("dev").digest
        for gold in golds
    }
    assert len(digests) == len(golds)


def test_what_products_have_in_common_is_in_memory_once(write_dataset: Write, product_record: Make) -> None:
    first, second = load_dataset(write_dataset([product_record(1), product_record(2)])).products.values()
    assert first.spec == second.spec != ()
    assert first.category is second.category
    assert all(one is other for one, other in zip(first.spec, second.spec, strict=True))

"""Tables in, a dataset out: what the records hold, what is left out, and what happens when it goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from ameli_llm.dataset.check import check_dataset
from ameli_llm.dataset.importing.run import import_dataset
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.types import Product, Review, SpecRow

if TYPE_CHECKING:
    from tests.dataset.importing.conftest import Folder

Make = Callable[..., dict[str, Any]]

PRODUCT_ROWS: list[dict[str, Any]] = [
    {
        "sku": "B00X1",
        "title": "Acme Breeze Red",
        "category": "Kitchen > Blenders",
        "description": "A compact blender, with two speeds.",
        "Color": "Red",
        "Capacity": 1.5,
        "image": "photos/red.jpg",
    },
    {
        "sku": "007",
        "title": "Acme Breeze Blue",
        "category": "Kitchen > Blenders",
        "description": None,
        "Color": "Blue",
        "Capacity": 2,
        "image": "photos/none.jpg",
    },
]
REVIEW_ROWS: list[dict[str, Any]] = [
    {"review_id": 11, "sku": "B00X1", "title": "Great", "review_text": "My red one is quiet."},
    {"review_id": 12, "sku": "007", "title": None, "review_text": "Blue, and \u00fcber loud."},
    {"review_id": 13, "sku": None, "title": "?", "review_text": "Which one is it?"},
]


def as_csv(rows: list[dict[str, Any]], mark: str) -> str:
    lines = [list(rows[0]), *(["" if v is None else str(v) for v in row.values()] for row in rows)]
    return "".join(mark.join(f'"{c}"' if mark in c else c for c in line) + "\n" for line in lines)


def write_table(folder: Folder, stem: str, ending: str, rows: list[dict[str, Any]]) -> str:
    """The rows as a file of the ending's kind."""
    name = f"{stem}.{ending}"
    if ending in ("csv", "tsv"):
        folder.write(name, as_csv(rows, "," if ending == "csv" else "\t"))
    elif ending == "jsonl":
        folder.write(name, "\n".join(map(json.dumps, rows)))
    elif ending == "json":
        folder.write(name, json.dumps(rows))
    else:
        source = folder.write("plain.json", json.dumps(rows))
        query = f"COPY (SELECT * FROM read_json('{source}')) TO '{folder.root / name}'"
        duckdb.connect().execute(query)
    return name


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_kind_of_file_gives_the_same_dataset(ending: str, folder: Folder) -> None:
    folder.image("photos/red.jpg")
    names = (
        write_table(folder, "catalogue", ending, PRODUCT_ROWS),
        write_table(folder, "reviews", ending, REVIEW_ROWS),
    )
    imported = folder.load(*names)
    assert dict(imported.rows) == {"products": 2, "reviews": 3}
    assert (imported.products, dict(imported.reviews), imported.images) == (2, {"test": 3}, 1)
    assert folder.losses(imported) == {"image has no file in the folder": 1}
    dataset = load_dataset(folder.out)
    blenders = ("Kitchen", "Blenders")
    assert list(dataset.products.values()) == [
        Product(
            id="B00X1",
            name="Acme Breeze Red",
            category=blenders,
            description="A compact blender, with two speeds.",
            spec=(SpecRow("All", "Color", "Red"), SpecRow("All", "Capacity", "1.5")),
            images=("red.jpg",),
        ),
        Product(
            id="007",
            name="Acme Breeze Blue",
            category=blenders,
            spec=(SpecRow("All", "Color", "Blue"), SpecRow("All", "Capacity", "2")),
        ),
    ]
    split = dataset.split("test")
    assert split.reviews == (
        Review(11, "Great", "My red one is quiet."),
        Review(12, "", "Blue, and \u00fcber loud."),
        Review(13, "?", "Which one is it?"),
    )
    assert dict(split.gold) == {11: "B00X1", 12: "007"}
    assert dataset.product_image("red.jpg") == folder.out / "product_images" / "red.jpg"
    assert check_dataset(dataset).passed


def test_records_of_ameli_are_taken_as_they_are(
    folder: Folder, product_record: Make, review_record: Make
) -> None:
    products = [product_record(1, image_path=["p.jpg", "../x.jpg"], url="https://example.org"), {"id": 2}]
    reviews = [
        review_record(7, review_image_path=["r.jpg", "none.jpg"], rating="5", copied_text=True),
        review_record(8, gold_entity_info={"id": "1"}),
        review_record(8),
        review_record(9, body=5),
    ]
    folder.write("products.json", json.dumps(products))
    folder.write("dev/reviews.json", json.dumps(reviews))
    folder.image("product_images/p.jpg")
    folder.image("review_images/r.jpg")
    folder.image("cleaned_review_images/r.jpg", "blue")
    imported = folder.load("products.json", "dev/reviews.json")
    assert folder.products() == [products[0] | {"image_path": ["p.jpg"]}]
    first, second = folder.reviews("dev")
    assert first == reviews[0] | {"review_image_path": ["r.jpg"]}
    assert second["gold_entity_info"] == {"id": 1}
    assert folder.losses(imported) == {
        "product field product_name is missing": 1,
        "image leads out of the folder": 1,
        "image has no file in the folder": 1,
        "review repeats the id of an earlier row of its split": 1,
        "review field body must be a string": 1,
    }
    assert load_dataset(folder.out).review_image("r.jpg") == folder.out / "cleaned_review_images" / "r.jpg"


@pytest.mark.parametrize(
    ("products", "gold", "ids", "found"),
    [
        ("1 2", "2", [1, 2], 2),
        ("1 2", "2.0", [1, 2], 2),
        ("1.0 2.0", "2", [1, 2], 2),
        ("007 2", "2", ["007", "2"], "2"),
        ("007 2", "007", ["007", "2"], "007"),
        ("9007199254740993 2", "9007199254740993", [9007199254740993, 2], 9007199254740993),
        ("1 2", "nil", [1, 2], None),
        ("1 2", "NIL", [1, 2], None),
    ],
)
def test_ids_and_gold(products: str, gold: str, ids: list[Any], found: Any, folder: Folder) -> None:
    folder.write("p.csv", "id,name\n" + "".join(f"{id_},n{id_}\n" for id_ in products.split()))
    folder.write("r.csv", f"product_id,body\n{gold},text\n,none\n")
    folder.load(products=["p.csv"], reviews=["r.csv"])
    assert [(record["id"], type(record["id"])) for record in folder.products()] == [(i, type(i)) for i in ids]
    first, second = folder.reviews()
    assert first["gold_entity_info"] == {"id": found, "product_name": None}
    assert "gold_entity_info" not in second
    assert [first["review_id"], second["review_id"]] == [1, 2]


def test_gold_that_no_file_has(folder: Folder) -> None:
    folder.write("p.csv", "id,name\n1,a\n")
    folder.write("r.csv", "product_id,product_name,body\n1,a,text\n9,b,text\n")
    folder.load(products=["p.csv"], reviews=["r.csv"])
    assert not check_dataset(load_dataset(folder.out)).passed
    folder.out = folder.out.with_name("other")
    folder.load(products=["p.csv"], reviews=["r.csv"], outside_is_nil=True)
    assert folder.reviews()[1]["gold_entity_info"] == {"id": None, "product_name": "b"}
    assert check_dataset(load_dataset(folder.out)).passed


def test_splits_by_column_file_folder_and_word(folder: Folder) -> None:
    folder.write("p.csv", "id,name\n1,a\n")
    folder.write("a.csv", "id,body,split\n1,x,Train\n2,x,valid\n3,x,\n4,x,later\n")
    folder.write("train_reviews.csv", "id,body\n1,x\n5,x\n")
    folder.write("val/b.csv", "id,body\n6,x\n")
    reviews = ["a.csv", "train_reviews.csv", "val/b.csv"]
    imported = folder.load(products=["p.csv"], reviews=reviews)
    assert {s: [r["review_id"] for r in folder.reviews(s)] for s in imported.reviews} == {
        "train": [1, 5],
        "dev": [2, 6],
        "test": [3],
    }
    assert folder.losses(imported) == {
        "review names a split that is none of train, dev and test": 1,
        "review repeats the id of an earlier row of its split": 1,
    }
    folder.out = folder.out.with_name("other")
    imported = folder.load(products=["p.csv"], reviews=reviews, split="dev")
    assert dict(imported.reviews) == {"train": 1, "dev": 5}


def test_what_is_left_out_has_a_reason_and_a_place(folder: Folder) -> None:
    long = "x" * 1_000_001
    lines = [
        {"id": "1", "name": "a", "attributes": {"a": {"b": {"c": 1}}}, "x": {"k": "v"}, "tags": ["t", "u"]},
        {"id": "1", "name": "b"},
        {"id": 1, "name": "c"},
        {"name": "d"},
        {"id": "e\n", "name": "ok: line ends around an id are cut off"},
        {"id": "a\tb", "name": "e"},
        {"id": "f", "name": {"en": "f"}},
        {"id": "g", "name": long},
        {"id": "h", "name": "nul\x00 \ud800", "x": b"".decode()},
        {"id": "i", "name": "i", "images": ["/etc/hosts", 5, "a\x00.jpg"], "x": [[1]]},
    ]
    folder.write("p.jsonl", "\n".join(json.dumps(line) for line in lines))
    imported = folder.load(products=["p.jsonl"], words=["attributes=attributes"])
    assert [record["id"] for record in folder.products()] == ["1", "e", "h", "i"]
    assert folder.products()[2]["product_name"] == "nul"
    rows = folder.products()[0]["Spec"][0]["text"]
    assert [(r["specification"], r["value"]) for r in rows] == [("k", "v"), ("tags", "t"), ("tags", "u")]
    assert folder.losses(imported) == {
        "product repeats the id of an earlier row": 2,
        "product has no id": 1,
        "product has an id that is none": 1,
        "product holds an object where a text is expected": 1,
        "product holds a text of more than 1,000,000 characters": 1,
        "attribute has neither a text nor a number nor a list of these": 1,
        "character is NUL or a lone surrogate": 2,
        "image is an absolute path": 1,
        "image has no file in the folder": 2,
    }
    places = {loss.reason: loss.places for loss in imported.losses}
    assert places["repeats the id of an earlier row"] == ("p.jsonl:2", "p.jsonl:3")
    assert places["is an absolute path"] == ("p.jsonl:10 '/etc/hosts'",)


def test_one_table_of_both(folder: Folder) -> None:
    """Reviews with their product in each row, as shops export them."""
    folder.write(
        "all.csv",
        "product_id,product_name,Color,review_id,review_text\n1,a,Red,7,nice\n1,a,Red,8,fine\n2,b,Blue,9,no\n",
    )
    words = [f"{column}=products.ignore" for column in ("review_id", "review_text")]
    imported = folder.load(products=["all.csv"], reviews=["all.csv"], words=words)
    assert [record["id"] for record in folder.products()] == [1, 2]
    assert [(r["review_id"], r["gold_entity_info"]["id"]) for r in folder.reviews()] == [
        (7, 1),
        (8, 1),
        (9, 2),
    ]
    assert folder.losses(imported) == {"product repeats the id of an earlier row": 1}


def test_reviews_without_ids_among_some(folder: Folder) -> None:
    folder.write("p.csv", "id,name\n1,a\n")
    folder.write("r.csv", "review_id,body\n1,x\n,y\n2,z\n")
    folder.load(products=["p.csv"], reviews=["r.csv"])
    assert [record["review_id"] for record in folder.reviews()] == [1, "r.csv:3", 2]


def test_slices_and_images_from_another_folder(folder: Folder, tmp_path: Path) -> None:
    folder.write("p.csv", "id,name\n1,a\n")
    folder.write("r.csv", "id,body,verified,photo\n1,x,TRUE,a.jpg\n2,y,no,\n")
    (tmp_path / "elsewhere").mkdir()
    folder.image("../elsewhere/a.jpg")
    folder.load(
        products=["p.csv"], reviews=["r.csv"], words=["verified=slice"], images=tmp_path / "elsewhere"
    )
    first, second = load_dataset(folder.out).split("test").reviews
    assert (first.slices, first.images) == (("verified",), ("a.jpg",))
    assert (second.slices, second.images) == ((), ())


def test_a_slice_cannot_take_the_place_of_a_field(folder: Folder) -> None:
    folder.write("p.csv", "id,name\n1,a\n")
    folder.write("r.csv", "text,body,review_image_path_before_select\nx,true,true\n")
    words = ["text=body", "body=slice", "review_image_path_before_select=slice"]
    imported = folder.load(products=["p.csv"], reviews=["r.csv"], words=words)
    assert folder.losses(imported) == {"review field review_image_path_before_select must be a list": 1}


def test_nothing_is_overwritten(folder: Folder) -> None:
    folder.write("p.csv", "id,name\n1,a\n")
    folder.out.mkdir()
    folder.load("p.csv")
    before = folder.products()
    folder.write("p.csv", "id,name\n2,b\n")
    with pytest.raises(AmeliError, match=r"dataset exists\. Choose another --out, or delete it\.$"):
        folder.load("p.csv")
    assert folder.products() == before
    (folder.out.parent / "file").write_text("x", "utf-8")
    folder.out = folder.out.parent / "file"
    with pytest.raises(AmeliError, match=r"file exists\."):
        folder.load("p.csv")


def test_a_failed_import_leaves_nothing(folder: Folder) -> None:
    folder.write("p.csv", "id,name\n1,a\n")
    plan = folder.plan("p.csv")
    folder.write("p.csv", b"id,name\n1,a\n2,\xff\n")
    with pytest.raises(AmeliError, match="is not UTF-8"):
        import_dataset(plan, folder.out)
    assert [path.name for path in folder.out.parent.iterdir()] == ["shop"]


CHILD = """
import sys
from pathlib import Path
from ameli_llm.dataset.importing.plan import plan_import
from ameli_llm.dataset.importing.run import import_dataset
def show(stage, done, total):
    print(done, flush=True)
import_dataset(plan_import([Path(sys.argv[1])]), Path(sys.argv[2]), progress=show)
"""


def test_a_killed_import_leaves_no_dataset_and_the_next_one_tidies_up(folder: Folder) -> None:
    path = folder.write("p.csv", "id,name\n" + "".join(f"{n},name {n}\n" for n in range(20_000)))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(folder.out)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "1000\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    left = [path.name for path in folder.out.parent.iterdir() if path.name != "shop"]
    assert len(left) == 1
    assert left[0].startswith(".shop-dataset.")
    assert left[0].endswith(f"-{child.pid}.draft")
    folder.write("p.csv", "id,name\n1,a\n")
    folder.load("p.csv")
    assert sorted(path.name for path in folder.out.parent.iterdir()) == ["shop", "shop-dataset"]


def test_memory_does_not_grow_with_the_file(folder: Folder) -> None:
    path = folder.root / "r.jsonl"
    body = "word " * 2000
    with path.open("w", encoding="utf-8") as file:
        for number in range(4000):
            file.write(json.dumps({"review_id": number, "body": body}) + "\n")
    folder.write("p.csv", "id,name\n1,a\n")
    code = """
import resource, sys
from pathlib import Path
from ameli_llm.dataset.importing.plan import plan_import
from ameli_llm.dataset.importing.run import import_dataset
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
products, reviews, out = map(Path, sys.argv[1:])
import_dataset(plan_import(products=[products], reviews=[reviews]), out)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder.root / "p.csv"), str(path), str(folder.out)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert path.stat().st_size > 40_000_000
    assert int(done.stdout) < 20_000, "kilobytes"

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.dataset import readers
from ameli_llm.dataset.halves import write_halves
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.readers import READERS, open_readers

Make = Callable[..., dict[str, Any]]

SHELF = '''
"""Layout "shelf": a line a product in shelf.txt, a line a review in SPLIT.txt."""

from ameli_llm.dataset.files import RawRecord
from ameli_llm.dataset.readers.reader import Reader


class ShelfReader(Reader):
    named = "shelf.txt"

    def product_files(self):
        return [path for path in [self.root / "shelf.txt"] if path.is_file()]

    def review_files(self, split):
        return [path for path in [self.root / f"{split}.txt"] if path.is_file()]

    def records(self, path):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            id_, _, text = line.partition(" ")
            if path.name == "shelf.txt":
                yield RawRecord(path, number, {"id": id_, "product_name": text, "product_category": None}, 0)
            else:
                gold = {"id": id_}
                review = {"review_id": number, "header": "", "body": text, "mention": ""}
                yield RawRecord(path, number, review | {"gold_entity_info": gold}, 0)


def create(root):
    """The shelf's layout of the folder ``root``."""
    return ShelfReader(root)
'''


@pytest.fixture
def shelf_reader(tmp_path: Path) -> Iterator[None]:
    """A reader more: a file of one's own in a folder that the package is looked for in too."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "shelf.py").write_text(SHELF, "utf-8")
    readers.__path__.append(str(tmp_path / "own"))
    yield
    readers.__path__.remove(str(tmp_path / "own"))
    sys.modules.pop("ameli_llm.dataset.readers.shelf", None)


def test_a_new_reader_is_one_new_file(shelf_reader: None, tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    (root / "shelf.txt").write_text("B1 Acme Red\nB2 Acme Blue\n", "utf-8")
    (root / "test.txt").write_text("B2 blue it is\nB1 so red\n", "utf-8")
    dataset = load_dataset(root)
    assert dataset.layout == "shelf"
    assert [product.name for product in dataset.products.values()] == ["Acme Red", "Acme Blue"]
    assert dataset.splits() == ["test"]
    assert dict(dataset.split("test").gold) == {1: "B2", 2: "B1"}
    assert sorted(write_halves(dataset, "test", tmp_path / "out")) in ([0, 2], [1, 1])
    assert list(load_dataset(tmp_path / "out" / "a").products) == ["B1", "B2"]


def test_the_readers_that_there_are() -> None:
    assert READERS.names() == ["plain", "release"]


def test_plain_names_go_first_file_by_file(tmp_path: Path, product_record: Make, review_record: Make) -> None:
    files = {
        "products.json": [product_record(1)],
        "bestbuy_products_1_final_format.json": [product_record(2)],
        "train/bestbuy_review_1.json": [review_record(3)],
        "val/reviews.json": [review_record(4)],
        "val/bestbuy_review_1.json": [review_record(5)],
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
    dataset = load_dataset(tmp_path)
    assert [reader.name for reader in open_readers(tmp_path)] == ["plain", "release"]
    assert (dataset.layout, list(dataset.products)) == ("plain", [1])
    assert [dataset.split(name).reviews[0].id for name in ("train", "dev")] == [3, 4]
    (tmp_path / "products.json").unlink()
    assert (load_dataset(tmp_path).layout, list(load_dataset(tmp_path).products)) == ("release", [2])

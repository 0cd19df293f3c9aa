from __future__ import annotations

import json
from pathlib import Path

import pytest

from ameli_llm.dataset.halves import write_halves
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.errors import AmeliError


def records(root: Path, split: str) -> list[dict[str, object]]:
    content: list[dict[str, object]] = json.loads((root / split / "reviews.json").read_text("utf-8"))
    return content


def gold(root: Path, split: str) -> set[int]:
    return {g for g in load_dataset(root).split(split).gold.values() if g is not None}


@pytest.fixture(scope="module")
def loaded(dataset: Path) -> Dataset:
    return load_dataset(dataset)


@pytest.fixture(scope="module")
def halves(loaded: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("halves") / "out"
    counts = write_halves(loaded, "train", out)
    assert counts == (len(records(out / "a", "dev")), len(records(out / "a", "test")))
    return out


def test_no_gold_product_is_in_both(halves: Path) -> None:
    first, second = gold(halves / "a", "dev"), gold(halves / "a", "test")
    assert first
    assert second
    assert not first & second


def test_every_review_is_there_once_and_unchanged(halves: Path, dataset: Path) -> None:
    both = records(halves / "a", "dev") + records(halves / "a", "test")
    order = {r["review_id"]: n for n, r in enumerate(records(dataset, "train"))}
    assert sorted(both, key=lambda r: order[r["review_id"]])[3:7] == records(dataset, "train")[3:7]
    assert sorted(order) == sorted(r["review_id"] for r in both)


def test_the_second_dataset_has_them_swapped(halves: Path) -> None:
    for one, other in (("dev", "test"), ("test", "dev")):
        assert records(halves / "a", one) == records(halves / "b", other)


def test_products_and_pictures_come_along(halves: Path, loaded: Dataset) -> None:
    for name in "ab":
        half = load_dataset(halves / name)
        assert half.digest == loaded.digest
        assert half.splits() == ["dev", "test"]
        assert half.product_image("empty.jpg") is not None


def test_ids_of_mixed_types_are_one_product(tmp_path: Path) -> None:
    product = {"id": 4, "product_name": "Lamp", "product_category": "Lamps"}
    text = {"header": "h", "body": "b", "mention": "m"}
    golds = enumerate([4, "4", 4.0, "4.0"])
    reviews = [{"review_id": n, **text, "gold_entity_info": {"id": id_}} for n, id_ in golds]
    (tmp_path / "in" / "dev").mkdir(parents=True)
    (tmp_path / "in" / "products.json").write_text(json.dumps([product]))
    (tmp_path / "in" / "dev" / "reviews.json").write_text(json.dumps(reviews))
    assert sorted(write_halves(load_dataset(tmp_path / "in"), "val", tmp_path / "out")) == [0, 4]


def test_an_existing_folder_is_left_alone(loaded: Dataset, tmp_path: Path) -> None:
    with pytest.raises(AmeliError) as caught:
        write_halves(loaded, "test", tmp_path)
    assert str(caught.value) == f"{tmp_path} exists. Choose another --out, or delete it."

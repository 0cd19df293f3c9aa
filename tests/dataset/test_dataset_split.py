from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.objects import make_dataset
from ameli_llm.dataset.splitting import Part, write_split
from ameli_llm.errors import AmeliError

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
GONE = {"id": None, "product_name": "Gone"}


@pytest.fixture
def shop(write_dataset: Write, product_record: Make, review_record: Make) -> Callable[..., Path]:
    """shop(sizes): a dataset whose product n has sizes[n] reviews, all in train; more golds after them."""

    def make(sizes: Sequence[int], more: Sequence[Any] = ()) -> Path:
        golds = [{"id": id_} for id_, size in enumerate(sizes) for _ in range(size)]
        reviews = [review_record(f"r{n}", gold_entity_info=gold) for n, gold in enumerate([*golds, *more])]
        return write_dataset([product_record(id_) for id_ in range(len(sizes))], train=reviews)

    return make


def golds(out: Path) -> dict[str, set[Any]]:
    dataset = load_dataset(out)
    return {name: set(dataset.split(name).gold.values()) - {None} for name in dataset.splits()}


@pytest.mark.parametrize(
    ("sizes", "ratios", "counts"),
    [
        ([1] * 10, (80, 10, 10), [8, 1, 1]),
        ([1] * 100, (80, 10, 10), [80, 10, 10]),
        ([3] * 30, (70, 10, 20), [63, 9, 18]),
        ([40, 30, 10, 5, 5, 5, 5], (80, 10, 10), [80, 10, 10]),
        ([9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], (50, 25, 25), [10, 5, 5]),
        ([2] * 5, (1, 0, 1), [4, 0, 6]),
        ([1] * 10, (0, 0, 5), [0, 0, 10]),
        ([50, 1, 1], (80, 10, 10), [50, 1, 1]),
    ],
)
def test_ratios(
    sizes: list[int], ratios: tuple[int, ...], counts: list[int], shop: Callable[..., Path], tmp_path: Path
) -> None:
    parts = write_split(load_dataset(shop(sizes)), tmp_path / "out", ratios=ratios)
    got = [part.reviews for part in parts.values()]
    assert got in (counts, counts[::-1]) if ratios == (1, 0, 1) else got == counts
    dataset = load_dataset(tmp_path / "out")
    assert dataset.splits() == [name for name, part in parts.items() if part.reviews]
    for one, other in combinations(golds(tmp_path / "out").values(), 2):
        assert not one & other


@pytest.mark.parametrize("seed", range(5))
def test_products_stay_together(seed: int, shop: Callable[..., Path], tmp_path: Path) -> None:
    sizes = [1 + number % 7 for number in range(60)]
    parts = write_split(load_dataset(shop(sizes)), tmp_path / "out", seed=seed)
    assert sum(part.reviews for part in parts.values()) == sum(sizes) == 234
    assert abs(parts["train"].reviews - 187.2) < 1
    assert abs(parts["dev"].reviews - 23.4) < 1
    held = golds(tmp_path / "out")
    assert sum(map(len, held.values())) == len(set().union(*held.values())) == 60
    assert [part.products for part in parts.values()] == [len(held[name]) for name in parts]


def test_big_and_small_products_are_everywhere(shop: Callable[..., Path], tmp_path: Path) -> None:
    """Largest first would put every popular product into train."""
    sizes = [10] * 60 + [1] * 60
    write_split(load_dataset(shop(sizes)), tmp_path / "out", ratios=(50, 25, 25))
    for held in golds(tmp_path / "out").values():
        assert sum(id_ < 60 for id_ in held) >= 10
        assert sum(id_ >= 60 for id_ in held) >= 5


def test_nil_and_no_gold_are_spread(shop: Callable[..., Path], tmp_path: Path) -> None:
    nil = [{"id": None, "product_name": f"Gone {n}"} for n in range(10)] + [{"id": None}] * 10
    root = shop([1] * 40, [*nil, *([None] * 20)])
    parts = write_split(load_dataset(root), tmp_path / "out", ratios=(50, 25, 25))
    assert parts == {
        "train": Part(40, 20, 10, 10),
        "dev": Part(20, 10, 5, 5),
        "test": Part(20, 10, 5, 5),
    }


def test_reviews_of_one_product_outside_the_kb_stay_together(
    shop: Callable[..., Path], tmp_path: Path
) -> None:
    root = shop([1] * 40, [GONE] * 4 + [{"id": None, "product_name": f"Other {n}"} for n in range(16)])
    write_split(load_dataset(root), tmp_path / "out", ratios=(50, 25, 25))
    dataset = load_dataset(tmp_path / "out")
    named = [list(dataset.split(name).gold_names.values()).count("Gone") for name in dataset.splits()]
    assert sorted(named) == [0, 0, 4]


def test_seed_and_order(shop: Callable[..., Path], tmp_path: Path) -> None:
    root = shop([2] * 30)

    def split(name: str, seed: int) -> dict[str, list[str]]:
        write_split(load_dataset(root), tmp_path / name, seed=seed)
        dataset = load_dataset(tmp_path / name)
        return {n: sorted(str(r.id) for r in dataset.split(n).reviews) for n in dataset.splits()}

    first = split("a", 1)
    assert split("b", 1) == first
    assert split("c", 2) != first
    path = root / "train" / "reviews.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8"))[::-1]), "utf-8")
    assert split("d", 1) == first


def test_ids_of_one_text_are_one_product(
    write_dataset: Write, product_record: Make, review_record: Make, tmp_path: Path
) -> None:
    reviews = [
        review_record(number, gold_entity_info={"id": gold})
        for number, gold in enumerate(value for id_ in range(20) for value in (id_, str(id_)))
    ]
    root = write_dataset([product_record(id_) for id_ in range(20)], dev=reviews)
    write_split(load_dataset(root), tmp_path / "out", ratios=(50, 25, 25))
    for one, other in combinations(golds(tmp_path / "out").values(), 2):
        assert not one & other


def test_all_is_taken_along(
    write_dataset: Write, product_record: Make, review_record: Make, tmp_path: Path
) -> None:
    splits = {
        name: [review_record(f"{name}{n}", extra=n, review_image_path=["r.jpg"]) for n in range(2)]
        for name in ("train", "val", "test")
    }
    root = write_dataset([product_record(1, image_path=["p.jpg"], url="https://example.org")], **splits)
    for name in ("product_images/p.jpg", "review_images/r.jpg", "cleaned_review_images/r.jpg"):
        (root / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(root / name)
    (tmp_path / "outside.jpg").write_bytes(b"x")
    (root / "review_images" / "leaves.jpg").symlink_to(tmp_path / "outside.jpg")
    write_split(load_dataset(root), tmp_path / "out")
    dataset = load_dataset(tmp_path / "out")
    assert dataset.digest == load_dataset(root).digest
    records = [raw.value for name in dataset.splits() for raw in dataset.split_records(name)]
    assert sorted(map(str, records)) == sorted(str(record) for rows in splits.values() for record in rows)
    assert dataset.product_image("p.jpg") == tmp_path / "out" / "product_images" / "p.jpg"
    assert dataset.review_image("r.jpg") == tmp_path / "out" / "cleaned_review_images" / "r.jpg"
    assert [path.name for path in (tmp_path / "out" / "review_images").iterdir()] == ["r.jpg"]


def test_what_cannot_be_split(
    write_dataset: Write, product_record: Make, review_record: Make, tmp_path: Path
) -> None:
    root = write_dataset([product_record()], dev=[review_record(7)], test=[review_record("7")])
    with pytest.raises(AmeliError, match=r"the review id '7' and the id 7 of .* have the same text"):
        write_split(load_dataset(root), tmp_path / "out")
    root = write_dataset([product_record()], dev=[review_record(7)], test=[review_record(7)])
    with pytest.raises(AmeliError, match=r"the review id 7 stands in an earlier record too\.$"):
        write_split(load_dataset(root), tmp_path / "out")
    for ratios in ((0, 0, 0), (1, 2), (1, 2, -1)):
        with pytest.raises(AmeliError, match=r"^The ratios .* are not those of train, dev and test"):
            write_split(load_dataset(root), tmp_path / "out", ratios=ratios)
    with pytest.raises(AmeliError, match=r"set exists\."):
        write_split(load_dataset(write_dataset([product_record()], dev=[], test=[review_record()])), root)
    with pytest.raises(AmeliError, match=r"^There is no review to divide"):
        write_split(make_dataset([{"id": 1, "name": "a"}]), tmp_path / "out")
    assert not (tmp_path / "out").exists()

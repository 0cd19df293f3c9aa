"""Reads a dataset folder: the plain layout of docs/datasets.md, or the AMELI release's own file names."""

from __future__ import annotations

import gc
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

from ameli_llm.dataset.files import SPLITS, product_files, read_records, review_files
from ameli_llm.dataset.records import GoldRecord, ProductRecord, ReviewRecord
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.types import Product, Review

_MAX_NAME_BYTES = 255

RecordT = TypeVar("RecordT", Product, Review)


@dataclass(frozen=True)
class Problem:
    """Something degraded in a dataset. ``error`` means that results on it would be meaningless."""

    code: str
    where: str
    message: str
    severity: Literal["warning", "error"]


@dataclass(frozen=True)
class Split:
    """The reviews of one split and, apart from them, their gold.

    ``gold`` maps a review id to its product id, to None when the product is outside the KB (NIL); a review
    without gold information is absent. ``gold_names`` holds the product names that the reviews' file gives.
    ``digest`` is the sha256 of reviews and gold in file order (image names, not their bytes).
    """

    name: str
    reviews: tuple[Review, ...]
    gold: Mapping[int, int | None]
    gold_names: Mapping[int, str]
    problems: tuple[Problem, ...]
    digest: str


class Dataset:
    """A knowledge base of products with its splits of reviews, in the folder ``root``.

    ``products`` keeps the order of the file. ``digest`` is the sha256 of the products' content, whatever
    their order in the file (image names, not their bytes).
    """

    def __init__(self, root: Path, products: Iterable[Product], problems: Iterable[Problem] = ()) -> None:
        self.root = root
        self.products: Mapping[int, Product] = MappingProxyType({p.id: p for p in products})
        self.problems = tuple(problems)
        self.digest = _digest(_product_content(self.products[key]) for key in sorted(self.products))

    def splits(self) -> list[str]:
        """The splits that have a reviews file, in the order train, dev, test."""
        return [name for name in SPLITS if review_files(self.root, name)]

    def split(self, name: str) -> Split:
        """Reads the split ``name``; "val" is "dev". Raises UnknownNameError, or AmeliError on bad content."""
        name = "dev" if name == "val" else name
        files = review_files(self.root, name) if name in SPLITS else []
        if not files:
            raise UnknownNameError("split", name, self.splits())
        return _load_split(self, name, files)

    def product_image(self, name: str) -> Path | None:
        """The file of a product image, None when there is none inside the dataset folder."""
        return self._image(name, ("product_images",))

    def review_image(self, name: str) -> Path | None:
        """The file of a review image: the cleaned crop if there is one, else the original, else None."""
        return self._image(name, ("cleaned_review_images", "review_images"))

    def _image(self, name: str, folders: tuple[str, ...]) -> Path | None:
        if not is_image_name(name):
            return None
        home = self.root.resolve()
        for folder in folders:
            path = self.root / folder / name
            # A link that leads out of the dataset could name any file of the reader's machine.
            if os.path.isfile(path) and path.resolve().is_relative_to(home):
                return path
        return None


def load_dataset(root: Path) -> Dataset:
    """Reads the products of the dataset folder ``root``; splits are read when asked for.

    A repeated product id keeps the first record and is a Problem. Raises AmeliError when the folder or its
    products file is missing, is not JSON, or has a record of a wrong type.
    """
    if not os.path.isdir(root):
        hint = "'ameli-llm data synth OUT' makes a synthetic one."
        raise AmeliError(f"No dataset folder at {root}.", hint=hint)
    files = product_files(root)
    if not files:
        raise AmeliError(
            f"No products in {root}: neither products.json nor bestbuy_products*final_format*.json.",
            hint="'ameli-llm data synth OUT' makes a synthetic dataset.",
        )
    problems = _left_aside(root, files)
    with _no_cycle_search():
        return Dataset(root, _products(files[0], problems).values(), problems)


def is_image_name(name: str) -> bool:
    """Whether ``name`` is a bare file name: no path separator, not "..", not empty, at most 255 bytes."""
    if not name.strip() or name in {".", ".."} or set(name) & set("/\\\x00"):
        return False
    return len(name.encode("utf-8", "surrogatepass")) <= _MAX_NAME_BYTES


def _products(path: Path, problems: list[Problem]) -> dict[int, Product]:
    products: dict[int, Product] = {}
    for raw in read_records(path):
        product = raw.parse(ProductRecord).product()
        where = f"product {product.id}"
        if product.id in products:
            problems.append(_duplicate("duplicate_product_id", where, raw.position))
            continue
        problems += _unclean(where, raw.removed)
        products[product.id] = _with_good_images(product, where, problems)
    return products


def _load_split(dataset: Dataset, name: str, files: list[Path]) -> Split:
    problems = _left_aside(dataset.root, files)
    reviews: dict[int, Review] = {}
    gold: dict[int, int | None] = {}
    names: dict[int, str] = {}
    for raw in read_records(files[0]):
        record = raw.parse(ReviewRecord)
        where = f"review {record.review_id}"
        if record.review_id in reviews:
            problems.append(_duplicate("duplicate_review_id", where, raw.position))
            continue
        problems += _unclean(where, raw.removed)
        reviews[record.review_id] = _with_good_images(record.review(), where, problems)
        if record.gold_entity_info is not None:
            gold[record.review_id] = _gold(record.gold_entity_info, dataset, where, problems)
            names[record.review_id] = record.gold_entity_info.product_name or ""
    return Split(
        name=name,
        reviews=tuple(reviews.values()),
        gold=MappingProxyType(gold),
        gold_names=MappingProxyType(names),
        problems=tuple(problems),
        digest=_digest([_review_content(r), gold.get(r.id, "none given")] for r in reviews.values()),
    )


def _gold(record: GoldRecord, dataset: Dataset, where: str, problems: list[Problem]) -> int | None:
    if record.id is None or record.id in dataset.products:
        return record.id
    message = f"gold product {record.id} is not in the KB; a product known to be outside it has the id null"
    problems.append(Problem("gold_not_in_kb", where, message, "error"))
    return None


def _with_good_images(record: RecordT, where: str, problems: list[Problem]) -> RecordT:
    """The record without image names that are paths: a dataset may only name files in its own folders."""
    good = tuple(name for name in record.images if is_image_name(name))
    if len(good) == len(record.images):
        return record
    for name in record.images:
        if name not in good:
            message = f"image name {name[:80]!r} is not a bare file name; dropped"
            problems.append(Problem("bad_image_name", where, message, "warning"))
    return replace(record, images=good)


@contextmanager
def _no_cycle_search() -> Iterator[None]:
    """Records hold no reference cycles; looking for them takes half the time of loading a large KB."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _duplicate(code: str, where: str, position: int) -> Problem:
    return Problem(code, where, f"record {position} repeats the id; the first record is kept", "error")


def _unclean(where: str, removed: int) -> list[Problem]:
    message = f"{removed} NUL or lone surrogate characters removed"
    return [Problem("unclean_text", where, message, "warning")] if removed else []


def _left_aside(root: Path, files: list[Path]) -> list[Problem]:
    """A warning when several files could be meant: the first is read."""
    if len(files) < 2:
        return []
    used, *others = (path.relative_to(root).as_posix() for path in files)
    return [Problem("several_files", used, f"read; left aside: {', '.join(others)}", "warning")]


def _digest(contents: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(json.dumps(content, ensure_ascii=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _product_content(product: Product) -> list[object]:
    spec = [(row.section, row.key, row.value) for row in product.spec]
    return [
        *(product.id, product.name, product.category, product.description),
        *(product.features, spec, product.images),
    ]


def _review_content(review: Review) -> list[object]:
    return [review.id, review.header, review.body, review.mention, review.images, review.slices]

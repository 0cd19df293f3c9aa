"""Opens a dataset: a folder in any layout that a reader knows, or a file of products alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ameli_llm.cycles import no_cycle_search
from ameli_llm.dataset.dataset import Dataset, left_aside
from ameli_llm.dataset.files import RawRecord, read_records
from ameli_llm.dataset.kept_once import KeptOnce
from ameli_llm.dataset.problems import Problem, duplicate, unclean
from ameli_llm.dataset.readers import open_readers
from ameli_llm.dataset.records import ProductRecord
from ameli_llm.dataset.split import Split, with_good_images
from ameli_llm.dataset.unique_ids import UniqueIds
from ameli_llm.errors import AmeliError
from ameli_llm.types import Product

__all__ = ["Dataset", "Problem", "Split", "load_dataset"]


def load_dataset(root: Path) -> Dataset:
    """Reads the products of a dataset folder; its splits are read when asked for.

    ``root`` may be a file of products alone (a JSON array): a dataset without reviews, whose images are
    looked for in the folders beside the file. A repeated product id keeps the first record and is a Problem.
    Raises AmeliError when folder or products are missing, are not JSON, have a record of a wrong type, or
    two ids of the same text.
    """
    if os.path.isfile(root):
        return _file(root)
    if not os.path.isdir(root):
        hint = "'ameli-llm data synth OUT' makes a synthetic one."
        raise AmeliError(f"No dataset folder at {root}.", hint=hint)
    readers = open_readers(root)
    for reader in readers:
        if files := reader.product_files():
            products, problems = _products(reader.records(files[0]))
            problems = left_aside(root, files) + problems
            return Dataset(root, products, problems, layout=reader.name, readers=readers)
    sought = " nor ".join(reader.named for reader in readers)
    hint = "'ameli-llm data synth OUT' makes a synthetic dataset."
    raise AmeliError(f"No products in {root}: neither {sought}.", hint=hint)


def _file(path: Path) -> Dataset:
    """The products of a file; what a folder would read has the folder's name and key."""
    root = path.parent
    products, problems = _products(read_records(path))
    own = [files[0] for reader in open_readers(root) if (files := reader.product_files())]
    if own and own[0].name == path.name:
        return Dataset(root, products, problems, readers=())
    return Dataset(root, products, problems, name=path.stem, place=str(path.resolve()), readers=())


def _products(records: Iterable[RawRecord]) -> tuple[list[Product], list[Problem]]:
    products: list[Product] = []
    problems: list[Problem] = []
    ids = UniqueIds("product")
    kept_once = KeptOnce()
    with no_cycle_search():
        for raw in records:
            product = kept_once(raw.parse(ProductRecord).product())
            where = f"product {product.id}"
            if not ids.is_new(product.id, f"{raw.path}, record {raw.position}"):
                problems.append(duplicate("duplicate_product_id", where, raw.position))
                continue
            problems += unclean(where, raw.removed)
            products.append(with_good_images(product, where, problems))
    return products, problems

"""Cuts a split into two halves without a gold product in common: one to tune on, the other to report."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ameli_llm.dataset.load import Dataset
from ameli_llm.dataset.records import ReviewRecord
from ameli_llm.dataset.writing import write_copy
from ameli_llm.errors import AmeliError
from ameli_llm.files import new_folder


def write_halves(dataset: Dataset, split: str, out: Path) -> tuple[int, int]:
    """Writes the datasets ``out``/a and ``out``/b; returns how many reviews the two halves have.

    In a, dev is the first half of ``split`` and test the second; in b it is the other way round. Products
    and images are the dataset's. The half of a review is decided by a hash of its gold product's id, or of
    its own id when it has none. Raises AmeliError when ``out`` is there already or cannot be written.
    """
    if out.exists():
        raise AmeliError(f"{out} exists.", hint="Choose another --out, or delete it.")
    parts: tuple[list[Any], list[Any]] = ([], [])
    for record in dataset.split_records(split):
        parts[_half(record.parse(ReviewRecord))].append(record.value)
    with new_folder(out) as draft:
        for name, (dev, test) in (("a", parts), ("b", parts[::-1])):
            write_copy(dataset, draft / name, {"dev": dev, "test": test})
    return len(parts[0]), len(parts[1])


def _half(record: ReviewRecord) -> int:
    gold = record.gold_entity_info
    name = f"product {gold.id}" if gold and gold.id is not None else f"review {record.review_id}"
    return hashlib.sha256(name.encode()).digest()[0] % 2

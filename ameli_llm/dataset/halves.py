"""Cuts a split into two halves without a gold product in common: one to tune on, the other to report."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from ameli_llm.dataset.files import product_files, read_records, review_files
from ameli_llm.dataset.load import Dataset
from ameli_llm.dataset.records import ReviewRecord
from ameli_llm.errors import AmeliError

IMAGES = ("product_images", "review_images", "cleaned_review_images")


def write_halves(dataset: Dataset, split: str, out: Path) -> tuple[int, int]:
    """Writes the datasets ``out``/a and ``out``/b; returns how many reviews the two halves have.

    In a, dev is the first half of ``split`` and test the second; in b it is the other way round. Products
    and images are copied. The half of a review is decided by a hash of its gold product's id, or of its own
    id when it has none. Raises AmeliError when ``out`` is there already or cannot be written.
    """
    if out.exists():
        raise AmeliError(f"{out} exists.", hint="Choose another --out, or delete it.")
    split = dataset.split(split).name
    records = read_records(review_files(dataset.root, split)[0])
    parts: tuple[list[Any], list[Any]] = ([], [])
    for record in records:
        parts[_half(record.parse(ReviewRecord))].append(record.value)
    try:
        for name, (dev, test) in (("a", parts), ("b", parts[::-1])):
            place = out / name
            for folder in IMAGES:
                if (dataset.root / folder).is_dir():
                    shutil.copytree(dataset.root / folder, place / folder)
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(product_files(dataset.root)[0], place / "products.json")
            for target, rows in (("dev", dev), ("test", test)):
                (place / target).mkdir()
                text = json.dumps(rows, ensure_ascii=False, indent=1)
                (place / target / "reviews.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise AmeliError(f"Cannot write {out}: {error.strerror or error}.") from error
    return len(parts[0]), len(parts[1])


def _half(record: ReviewRecord) -> int:
    gold = record.gold_entity_info
    name = f"product {gold.id}" if gold and gold.id is not None else f"review {record.review_id}"
    return hashlib.sha256(name.encode()).digest()[0] % 2

"""Writes datasets in the plain layout: records as JSON, pictures as links or copies."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.image_files import PRODUCT_FOLDERS, REVIEW_FOLDERS


def write_copy(dataset: Dataset, place: Path, splits: Mapping[str, Sequence[Any]]) -> None:
    """The dataset with other splits, given by their records, into the new or empty folder ``place``.

    Every picture of the image folders is a hard link where the file system allows it, else a copy; links that
    lead out of the dataset are left behind. Raises OSError.
    """
    write_records((raw.value for raw in dataset.product_records()), place / "products.json")
    for name, records in splits.items():
        write_records(records, place / name / "reviews.json")
    if dataset.root is not None:
        for folder in (*PRODUCT_FOLDERS, *REVIEW_FOLDERS):
            _link_folder(dataset.root, folder, place)


class RecordFile:
    """A JSON array with a record a line, written record by record; a context manager. Its folder is made."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._before = "["

    def write(self, record: Any) -> None:
        """Adds a record; what JSON has no form for (dates, decimals) is written as text."""
        self._file.write(f"{self._before}\n{json.dumps(record, ensure_ascii=False, default=str)}")
        self._before = ","

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.write("[]\n" if self._before == "[" else "\n]\n")
        self._file.close()


def write_records(records: Iterable[Any], path: Path) -> None:
    """A JSON array of these records."""
    with RecordFile(path) as file:
        for record in records:
            file.write(record)


def link_or_copy(source: Path, target: Path) -> None:
    """The file under a second name: a hard link, or a copy where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _link_folder(root: Path, folder: str, place: Path) -> None:
    home = root.resolve()
    if not (root / folder).is_dir():
        return
    (place / folder).mkdir(parents=True, exist_ok=True)
    for source in sorted((root / folder).iterdir()):
        if source.is_file() and source.resolve().is_relative_to(home):
            link_or_copy(source.resolve(), place / folder / source.name)

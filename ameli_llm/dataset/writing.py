"""Writes datasets in the plain layout, whole or not at all: records as JSON, pictures as links or copies."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.image_files import PRODUCT_FOLDERS, REVIEW_FOLDERS
from ameli_llm.errors import AmeliError


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


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` when all went well and vanishes otherwise.

    It lies beside ``out``; one that a killed process left there is removed. Raises AmeliError when ``out``
    holds files, or when something in the block cannot be written.
    """
    here = f"{platform.node()}-{os.getpid()}"
    draft = out.absolute().with_name(f".{out.absolute().name}.{here}.draft")
    try:
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise AmeliError(f"{out} exists.", hint="Choose another --out, or delete it.")
        os.makedirs(draft.parent, exist_ok=True)
        _remove_left_behind(draft.parent, f".{out.absolute().name}.{platform.node()}-")
        draft.mkdir()
        yield draft
        os.replace(draft, out)
    except OSError as error:
        raise AmeliError(f"Cannot write {out}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_left_behind(folder: Path, start: str) -> None:
    """Removes the drafts of processes of this machine that are no more."""
    for path in folder.iterdir():
        number = path.name.removeprefix(start).removesuffix(".draft")
        if path.name == f"{start}{number}.draft" and number.isdecimal() and not _runs(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


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

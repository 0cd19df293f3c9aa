"""What every dataset reader gives: the files of one layout, and their content as AMELI records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from ameli_llm.dataset.files import RawRecord, read_records

SPLITS = {"train": ("train",), "dev": ("dev", "val"), "test": ("test",)}
"""Split names in order, each with the folder names that it may have."""


class Reader(ABC):
    """One layout of dataset folders, at the folder ``root``. Its module's ``create(root)`` makes it.

    ``named`` says in error messages which products file was looked for. Files are listed with the one to read
    first; the others are named as left aside.
    """

    named: ClassVar[str]

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def name(self) -> str:
        """The name of the layout, that of its module."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def product_files(self) -> list[Path]:
        """The files that can be the products; empty when the folder is of another layout."""

    @abstractmethod
    def review_files(self, split: str) -> list[Path]:
        """The files that can be the reviews of "train", "dev" or "test"; empty when it has none."""

    def records(self, path: Path) -> Iterator[RawRecord]:
        """The records of one of these files, with the fields of docs/datasets.md; by default a JSON array.

        Raises AmeliError when the file cannot be read.
        """
        return read_records(path)

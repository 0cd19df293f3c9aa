"""What every kind of file gives: its rows, one after the other, by their columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ameli_llm.dataset.importing.losses import Losses


@dataclass(frozen=True, slots=True)
class Row:
    """A row by its columns. ``position`` is its line in a text file, else its number; both from 1."""

    position: int
    values: dict[str, Any]


class Table(ABC):
    """A file of rows, read anew by each call of ``rows``.

    ``typed`` is false where every value is a text, as in CSV: numbers must be told by how they are written.
    """

    typed: ClassVar[bool] = True

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def rows(self, losses: Losses) -> Iterator[Row]:
        """The rows in file order; those that cannot be read are counted in ``losses``.

        Raises AmeliError when the file cannot be read at all.
        """

    def place(self, position: int) -> str:
        """A row as messages name it."""
        return f"{self.path.name}:{position}"

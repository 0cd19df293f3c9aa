"""The columns of a table, and what stands in them: what guesses and numbers are decided by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from ameli_llm.dataset.importing.losses import Losses
from ameli_llm.dataset.importing.tables.table import Table
from ameli_llm.errors import AmeliError

MAX_COLUMNS = 1000

Numbers = Literal["whole", "with gaps", "none"]
"""How the texts of a column are numbers: all "12"; some "12.0" (pandas, where cells are missing); not all."""

MISSING = frozenset({"nan", "null", "none", "n/a", "na", "<na>"})
"""Texts by which tables say that a number or an id is not there."""

NIL = "nil"
"""The text by which a gold column says that the product is outside the knowledge base."""

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,99}")
_WITH_GAPS = re.compile(r"(?:0|-?[1-9][0-9]{0,99})(?:\.0{1,9})?")
_URL = re.compile(r"https?://\S+")
_EXAMPLE = 40
_WORDS_COUNTED = 1000


@dataclass
class Column:
    """A column of one or more tables of a kind.

    ``filled`` rows have a value in it; ``numbers`` looks at the texts among them, and is None without any.
    ``nested`` values are objects or lists. ``words`` is the mean length of the texts.
    """

    name: str
    filled: int = 0
    numbers: Numbers | None = None
    urls: int = 0
    nested: int = 0
    example: str = ""
    _words: int = 0
    _texts: int = 0

    @property
    def words(self) -> float:
        """Mean number of words of a text, 0 when there is none."""
        return self._words / self._texts if self._texts else 0.0

    @property
    def is_links(self) -> bool:
        """Whether every value is a link into the web."""
        return 0 < self.urls == self.filled

    def add(self, value: Any) -> None:
        """Takes a value into account."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return
        self.filled += 1
        if not self.example:
            self.example = _short(value)
        if isinstance(value, dict | list):
            self.nested += 1
        elif isinstance(value, str):
            text = value.strip()
            self._texts += 1
            self._words += len(text[: 10 * _WORDS_COUNTED].split(None, _WORDS_COUNTED))
            self.urls += _URL.fullmatch(text) is not None
            if text.lower() not in MISSING and text.lower() != NIL:
                self.numbers = _wider(self.numbers, text)


@dataclass(frozen=True)
class Columns:
    """The columns of all tables of one kind, by name in the order met; ``rows`` is the number of rows."""

    by_name: dict[str, Column] = field(default_factory=dict)
    rows: int = 0

    def __iter__(self) -> Iterator[Column]:
        return iter(self.by_name.values())


def read_columns(tables: Iterable[Table], first: int | None = None) -> Columns:
    """Reads all rows of the tables, or the ``first`` of each. Raises AmeliError on over ``MAX_COLUMNS``."""
    found: dict[str, Column] = {}
    rows = 0
    for table in tables:
        for row in islice(table.rows(Losses()), first):
            rows += 1
            for name, value in row.values.items():
                if name not in found:
                    found[name] = Column(name)
                found[name].add(value)
            if len(found) > MAX_COLUMNS:
                raise AmeliError(
                    f"{table.path} has more than {MAX_COLUMNS:,} columns.",
                    hint="A row, or a JSON object of an array or a line, must be a product or a review.",
                )
    return Columns(found, rows)


def _wider(numbers: Numbers | None, text: str) -> Numbers:
    """The numbers of a column that has this text too."""
    if numbers == "none":
        return "none"
    if _WHOLE.fullmatch(text):
        return numbers or "whole"
    return "with gaps" if _WITH_GAPS.fullmatch(text) else "none"


def _short(value: Any) -> str:
    text = " ".join(str(value)[: 10 * _EXAMPLE].split())
    return text if len(text) <= _EXAMPLE else text[: _EXAMPLE - 3] + "..."

"""CSV and TSV, read by Python's own csv module: its delimiter and quoting are told from the first rows.

An open quote or a giant cell costs the rows that it swallows; that is counted, and what follows is read.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TextIO

from ameli_llm.dataset.importing.losses import Losses
from ameli_llm.dataset.importing.tables.table import Row, Table
from ameli_llm.errors import AmeliError

MAX_LINE = 4_000_000
"""Longest line that is read, in characters. A cell holds at most the csv module's 131,072."""

_SAMPLE = 1_000_000
_SAMPLE_ROWS = 1000
_DELIMITERS = (",", "\t", ";", "|")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class _Dialect:
    delimiter: str
    quoted: bool

    def read(self, lines: Iterator[str], strict: bool) -> Any:
        if self.quoted:
            return csv.reader(lines, delimiter=self.delimiter, strict=strict)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)


class DelimitedTable(Table):
    """Rows of texts. The first row that is not blank names the columns."""

    typed: ClassVar[bool] = False

    def __init__(self, path: Path, encoding: str) -> None:
        super().__init__(path)
        try:
            with path.open("rb") as file:
                start = file.read(4)
            self._encoding = next((name for mark, name in _MARKS if start.startswith(mark)), encoding)
            with self._open() as text:
                self._dialect = _dialect(text.read(_SAMPLE))
        except OSError as error:
            raise AmeliError(f"Cannot read {path}: {error.strerror}.") from None
        except UnicodeError:
            raise self._undecodable() from None
        except LookupError:
            raise AmeliError(f"No encoding named {encoding!r}.") from None

    def rows(self, losses: Losses) -> Iterator[Row]:
        """The rows whose cells are as many as the columns; blank cells at the end count as none."""
        try:
            with self._open() as text:
                yield from self._rows(text, losses)
        except UnicodeError:
            raise self._undecodable() from None
        except OSError as error:
            raise AmeliError(f"Cannot read {self.path}: {error.strerror}.") from None

    def _rows(self, text: TextIO, losses: Losses) -> Iterator[Row]:
        reader = self._dialect.read(self._lines(text, losses), strict=True)
        names: list[str] = []
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                losses.add("row", _reason(error), self.place(reader.line_num))
                continue
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _names(cells)
                continue
            while len(cells) > len(names) and not cells[-1].strip():
                cells.pop()
            if len(cells) != len(names):
                reason = f"has {'more' if len(cells) > len(names) else 'fewer'} cells than there are columns"
                losses.add("row", reason, self.place(reader.line_num))
                continue
            yield Row(reader.line_num, dict(zip(names, cells, strict=True)))

    def _lines(self, text: TextIO, losses: Losses) -> Iterator[str]:
        """The lines, with an empty one in the place of each that is too long."""
        position = 0
        while line := text.readline(MAX_LINE):
            position += 1
            if len(line) < MAX_LINE or line.endswith(("\n", "\r")):
                yield line
                continue
            while (rest := text.readline(MAX_LINE)) and not rest.endswith(("\n", "\r")):
                pass
            losses.add("row", f"is longer than {MAX_LINE:,} characters", self.place(position))
            yield "\n"

    def _open(self) -> TextIO:
        return self.path.open(encoding=self._encoding, newline="")

    def _undecodable(self) -> AmeliError:
        name = self._encoding.upper().removesuffix("-SIG")
        hint = "Name the encoding that it has, for instance --encoding cp1252 or --encoding utf-16."
        return AmeliError(f"{self.path} is not {name} throughout.", hint=hint)


def _reason(error: csv.Error) -> str:
    if "limit" in str(error):
        return f"has a cell of more than {csv.field_size_limit():,} characters, or an open quote"
    return "has a quote that is not closed, or text after one"


def _dialect(sample: str) -> _Dialect:
    """The dialect in which most rows have as many cells as the first; then by columns, then by rows."""
    best, score = _Dialect(",", True), (0.0, 0, 0)
    for delimiter in _DELIMITERS:
        for quoted in (True, False):
            dialect = _Dialect(delimiter, quoted)
            fit = _fit(dialect, sample)
            if fit > score:
                best, score = dialect, fit
    return best


def _fit(dialect: _Dialect, sample: str) -> tuple[float, int, int]:
    """The share of rows that have the header's number of cells, 0 for a single column; columns; rows."""
    lines = io.StringIO(sample, newline="")
    try:
        rows = [row for row in islice(dialect.read(lines, strict=False), _SAMPLE_ROWS) if any(row)]
    except csv.Error:
        return 0.0, 0, 0
    columns = len(rows[0]) if rows else 0
    if columns < 2:
        return 0.0, columns, len(rows)
    complete = rows[:-1] if len(sample) == _SAMPLE and len(rows) > 1 else rows  # its last row may be cut
    return round(sum(len(row) == columns for row in complete) / len(complete), 2), columns, len(rows)


def _names(cells: list[str]) -> list[str]:
    """Column names: stripped, a number for those that are blank, and one after names that occur before."""
    names: list[str] = []
    for number, cell in enumerate(cells, start=1):
        name = base = " ".join(cell.split()) or f"column {number}"
        again = 1
        while name in names:
            again += 1
            name = f"{base} ({again})"
        names.append(name)
    return names

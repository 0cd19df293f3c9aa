"""JSON lines: an object a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ameli_llm.dataset.importing.losses import Losses
from ameli_llm.dataset.importing.tables.table import Row, Table
from ameli_llm.errors import AmeliError
from ameli_llm.untrusted import read_json

MAX_LINE = 16 << 20
"""Longest line that is read, in bytes."""


class JsonLinesTable(Table):
    """Rows of typed values."""

    def rows(self, losses: Losses) -> Iterator[Row]:
        """The objects of the lines; blank lines are no rows."""
        for position, line in enumerate(_lines(self.path), start=1):
            if not line.strip():
                continue
            try:
                yield Row(position, _object(line))
            except ValueError as error:
                losses.add("row", str(error), self.place(position))


def _lines(path: Path) -> Iterator[bytes]:
    """The lines, of those that are too long no more than shows it."""
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE + 1):
                rest = line
                while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE)):
                    pass
                yield line
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from None


def _object(line: bytes) -> dict[str, Any]:
    """Raises ValueError with a reason that is the same for all lines of one fault."""
    if len(line) > MAX_LINE:
        raise ValueError(f"is longer than {MAX_LINE >> 20} MiB")
    try:
        value = read_json(line, max_bytes=MAX_LINE, strict=False, nan_as_null=True)
    except ValueError as error:
        raise ValueError(_reason(str(error))) from None
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    return value


def _reason(message: str) -> str:
    """The kind of fault, without where in the line it is."""
    kind = message.partition(":")[0]
    return "holds a number out of range" if kind.startswith("number") else f"is {kind}"

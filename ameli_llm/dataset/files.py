"""Reads the JSON files of a dataset, which are untrusted, record by record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.dataset.records import ModelT, RecordError, clean, describe, parse
from ameli_llm.errors import AmeliError
from ameli_llm.untrusted import read_json

MAX_BYTES = 1 << 30
"""Largest file that is read: it is held in memory whole, and takes about eight times its size there."""

_MAY_BE_UNCLEAN = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of a file, before validation.

    ``position`` counts from 1. ``removed`` characters (NUL, lone surrogates) were cut out of its texts.
    """

    path: Path
    position: int
    value: Any
    removed: int

    def parse(self, model: type[ModelT]) -> ModelT:
        """The validated record. Raises AmeliError that names file, position, field and expectation."""
        try:
            return parse(model, self.value)
        except RecordError as error:
            raise AmeliError(f"{self.path}, record {self.position}: {error}.") from None


def read_records(path: Path) -> Iterator[RawRecord]:
    """The records of a JSON array, in file order.

    Raises AmeliError when the file cannot be read or is no JSON array within the bounds of ``read_json``.
    """
    content = _content(path)
    # A clean file, the usual case, is told by one search of its text.
    unclean = _MAY_BE_UNCLEAN.search(content) is not None
    for position, value in enumerate(_array(path, content), start=1):
        if unclean:
            cleaned = clean(value)
            yield RawRecord(path, position, cleaned.value, cleaned.removed)
        else:
            yield RawRecord(path, position, value, 0)


def _array(path: Path, content: bytes) -> list[Any]:
    try:
        value = read_json(content, max_bytes=MAX_BYTES, nan_as_null=True)
    except ValueError as error:
        raise AmeliError(f"Cannot read {path}: {error}.") from None
    if not isinstance(value, list):
        raise AmeliError(f"{path} must hold an array of records, found {describe(value)}.")
    return value


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from None

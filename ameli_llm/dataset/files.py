"""Reads the JSON files of a dataset, which are untrusted, record by record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.dataset.json_array import NoArrayError, read_array
from ameli_llm.dataset.records import ModelT, RecordError, clean, describe, parse
from ameli_llm.errors import AmeliError
from ameli_llm.untrusted import MAX_BYTES, read_json

_MAY_BE_UNCLEAN = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


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
    """The records of a JSON array, in file order; one at a time is in memory.

    Raises AmeliError, when it comes to what is wrong, where the file cannot be read or is no JSON array
    within the bounds of ``read_array``.
    """
    try:
        with path.open("rb") as file:
            for position, element in enumerate(read_array(file), start=1):
                # A clean record, the usual case, is told by one search of its text.
                if _MAY_BE_UNCLEAN.search(element.text):
                    cleaned = clean(element.value)
                    yield RawRecord(path, position, cleaned.value, cleaned.removed)
                else:
                    yield RawRecord(path, position, element.value, 0)
    except NoArrayError:
        raise AmeliError(_no_array(path)) from None
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise AmeliError(f"Cannot read {path}: {error}.") from None


def _no_array(path: Path) -> str:
    """What the file holds instead, or why it is no JSON at all."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        value = read_json(content, nan_as_null=True)
    except ValueError as error:
        return f"Cannot read {path}: {error}."
    return f"{path} must hold an array of records, found {describe(value)}."

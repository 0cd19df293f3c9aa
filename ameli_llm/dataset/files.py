"""Finds the JSON files of a dataset folder and reads their records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.dataset.records import ModelT, RecordError, clean, describe, parse
from ameli_llm.errors import AmeliError

SPLITS = {"train": ("train",), "dev": ("dev", "val"), "test": ("test",)}
"""Split names in order, each with the folder names that it may have."""

_STAGES = frozenset({"retrieval", "attribute", "disambiguation"})
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


def product_files(root: Path) -> list[Path]:
    """The products files of a folder, the one to read first: products.json or the release's own name."""
    plain = root / "products.json"
    return [plain] if plain.is_file() else _ordered(root, "bestbuy_products*final_format*.json")


def review_files(root: Path, split: str) -> list[Path]:
    """The reviews files of a split, the one to read first.

    reviews.json alone if there is one. Otherwise the release's names: files of the pipeline's stages come
    after base files, then shallow before deep, then by name.
    """
    for folder in (root / alias for alias in SPLITS[split]):
        plain = folder / "reviews.json"
        files = [plain] if plain.is_file() else _ordered(folder, "bestbuy_review*.json")
        if files:
            return files
    return []


def _ordered(folder: Path, pattern: str) -> list[Path]:
    def order(path: Path) -> tuple[bool, int, str]:
        inside = path.relative_to(folder)
        return bool(_STAGES & set(inside.parts)), len(inside.parts), inside.as_posix()

    return sorted((path for path in folder.rglob(pattern) if path.is_file()), key=order)


def read_records(path: Path) -> Iterator[RawRecord]:
    """The records of a JSON array, in file order. Raises AmeliError when the file is no JSON array."""
    text = _text(path)
    # A clean file, the usual case, is told by one search of its text.
    unclean = _MAY_BE_UNCLEAN.search(text) is not None
    for position, value in enumerate(_array(path, text), start=1):
        if unclean:
            cleaned = clean(value)
            yield RawRecord(path, position, cleaned.value, cleaned.removed)
        else:
            yield RawRecord(path, position, value, 0)


def _array(path: Path, text: str) -> list[Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise AmeliError(f"{path} is not JSON: {error.msg} at {where}.") from None
    except RecursionError:
        raise AmeliError(f"{path} is nested too deeply to be a dataset file.") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise AmeliError(f"{path} cannot be read: {str(error).partition(';')[0]}.") from None
    if not isinstance(content, list):
        raise AmeliError(f"{path} must hold an array of records, found {describe(content)}.")
    return content


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AmeliError(f"{path} is not UTF-8: byte {error.start} cannot be decoded.") from None
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from None

"""Values out of single cells: lists, objects and category paths, however a table writes them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from itertools import chain
from typing import Any

from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.specs import spec_rows, value_text
from ameli_llm.types import SpecRow
from ameli_llm.untrusted import MAX_DEPTH, read_json

MAX_TEXT = 1_000_000
"""Longest text of a product or review that is taken, in characters."""

_CATEGORY_SEPARATORS = (" -> ", "->", " > ", ">", "|", " / ", "\n")
_LIST_SEPARATORS = ("\n", "|", ";")
_IMAGE_LIST = re.compile(r"[^,]+\.\w{3,4}(?:\s*,\s*[^,]+\.\w{3,4})+")
_PAIR = re.compile(r"\s*([^:=]{1,60})[:=]\s*(.+?)\s*")


def text_of(value: Any) -> str:
    """The text of a cell; single values as ``value_text`` writes them, lists of them a line each.

    Raises LeftOutError for objects and for texts longer than ``MAX_TEXT``.
    """
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(text_of, value)))
    text = value if isinstance(value, str) else value_text(value)
    if text is None:
        raise LeftOutError("holds an object where a text is expected")
    if len(text) > MAX_TEXT:
        raise LeftOutError(f"holds a text of more than {MAX_TEXT:,} characters")
    return text


def texts_of(value: Any) -> list[str]:
    """The texts of a list; a cell of text may write it as JSON, as Python does, or with | ; or line ends."""
    found = _written(value) if isinstance(value, str) else value
    if isinstance(found, list | tuple):
        return [text.strip() for item in found if (text := text_of(item)).strip()]
    text = text_of(found).strip()
    separator = next((mark for mark in _LIST_SEPARATORS if mark in text), None)
    return (
        [part.strip() for part in text.split(separator) if part.strip()]
        if separator
        else [text][: bool(text)]
    )


def image_names(value: Any) -> list[str]:
    """The paths of a list of images, which may have commas between them too."""
    if isinstance(value, str) and _IMAGE_LIST.fullmatch(value.strip()):
        return [part.strip() for part in value.split(",")]
    return texts_of(value)


def category_of(value: Any) -> list[str]:
    """The parts of a category path: a list, or a text with -> > | or / between them."""
    found = _written(value) if isinstance(value, str) else value
    if isinstance(found, list | tuple):
        parts = [category_of(item) for item in found]
        return max(parts, key=len) if any(len(part) > 1 for part in parts) else [*chain.from_iterable(parts)]
    text = text_of(found)
    separator = next((mark for mark in _CATEGORY_SEPARATORS if mark in text), None)
    parts_of_text = text.split(separator) if separator else [text]
    return [part.strip() for part in parts_of_text if part.strip()]


def spec_of(value: Any) -> tuple[SpecRow, ...]:
    """The attributes of an object, a map or a list of keys with values; text as JSON, or "Color: Red; ...".

    Raises LeftOutError when they cannot be told.
    """
    found = _written(value) if isinstance(value, str) else value
    if isinstance(found, str):
        parts = [_PAIR.fullmatch(part) for part in re.split(r"[\n|;]", found) if part.strip()]
        if not all(parts):
            raise LeftOutError("is no object, and no list of keys with values")
        found = [[part[1], part[2]] for part in parts if part]
    try:
        return spec_rows(_flat(found))
    except ValueError as error:
        raise LeftOutError(re.sub(r" under '.*?'| in item \d+", "", str(error))) from None


def _flat(attributes: Any) -> Any:
    """An object of objects, as pages with sections have it, with the keys of all sections."""
    if not isinstance(attributes, Mapping):
        return attributes
    pairs: list[list[Any]] = []
    for key, value in attributes.items():
        pairs += (
            [[inner, item] for inner, item in value.items()] if isinstance(value, Mapping) else [[key, value]]
        )
    return pairs


def _written(text: str) -> Any:
    """The list or object that the text writes as JSON or as Python does; else the text."""
    stripped = text.strip()
    if not stripped.startswith(("[", "{")) or len(stripped) > MAX_TEXT:
        return text
    try:
        return read_json(stripped, nan_as_null=True, strict=False)
    except ValueError:
        pass
    if _deepest(stripped) > MAX_DEPTH:
        return text
    try:
        with warnings.catch_warnings():  # of odd escapes in the text
            warnings.simplefilter("ignore")
            found = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return found if isinstance(found, list | dict | tuple) else text


def _deepest(text: str) -> int:
    depth = deepest = 0
    for mark in re.findall(r"[\[({})\]]", text):
        depth += 1 if mark in "[({" else -1
        deepest = max(deepest, depth)
    return deepest

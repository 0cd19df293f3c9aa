"""Attributes that are not written as a specification table: an object, a list of pairs, single values."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from ameli_llm.types import SpecRow

SECTION = "All"
"""The section of rows that come from no table: pages that were scraped flat have it too."""

_KEYS = ("key", "name", "attribute", "specification", "label")
_VALUES = ("value", "val", "text")
_EXACT_FLOATS = 2**53


def spec_rows(attributes: Any) -> tuple[SpecRow, ...]:
    """The lines of ``{"Color": "Red", "Ports": ["HDMI", "USB"]}`` or ``[{"key": "Color", "value": "Red"}]``.

    Values are as ``value_text`` takes them, or lists of such, which give a line each; blank ones are left
    out. Raises ValueError, which says what stands there instead.
    """
    if attributes is None:
        return ()
    if isinstance(attributes, Mapping):
        pairs = list(attributes.items())
    elif isinstance(attributes, list | tuple):
        pairs = [_pair(item, number) for number, item in enumerate(attributes)]
    else:
        raise ValueError("must be an object, or a list of objects with key and value")
    rows = ((value_text(key) or "", text) for key, value in pairs for text in _texts(key, value))
    return tuple(SpecRow(SECTION, key, text) for key, text in rows if key)


def value_text(value: Any) -> str | None:
    """A single value as a page would write it; None when it is an object, a list or another thing.

    Numbers are written without needless zeros (12.0 is 12), true and false as Yes and No; nothing, NaN and
    infinity are "".
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT_FLOATS else str(value)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Decimal | date | time | UUID):
        return str(value)
    return str(operator.index(value)) if hasattr(value, "__index__") else None


def _texts(key: Any, value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list | tuple) else (value,):
        text = value_text(item)
        if text is None:
            raise ValueError(f"has under {str(key)[:40]!r} neither a text nor a number nor a list of these")
        if text:
            yield text


def _pair(item: Any, number: int) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        lower = {str(key).lower(): value for key, value in item.items()}
        keys = [lower[name] for name in _KEYS if name in lower]
        values = [lower[name] for name in _VALUES if name in lower]
        if keys and values:
            return keys[0], values[0]
    elif isinstance(item, list | tuple) and len(item) == 2:  # an item of a map, as tables store it
        return item[0], item[1]
    raise ValueError(f"has no key and value in item {number + 1}")

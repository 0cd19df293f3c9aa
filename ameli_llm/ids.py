"""Ids of products and reviews: what the user has, integers or strings; they come back as they came.

Within a dataset no two products, and no two reviews, have ids of the same text (5 and "5"), so files and
stores that know only text can name them by it.
"""

from __future__ import annotations

import operator
import unicodedata
from typing import TypeAlias

EntityId: TypeAlias = int | str
ReviewId: TypeAlias = int | str

MAX_LENGTH = 200
"""Most characters of an id, written as text."""

EXPECTED = f"a whole number or a text of 1 to {MAX_LENGTH} characters without control characters"

_WHOLE_FLOATS = 2**53
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def id_order(id_: EntityId | ReviewId) -> tuple[bool, int, str]:
    """A sort key: integers by size, then strings by code point."""
    return (True, 0, id_) if isinstance(id_, str) else (False, id_, "")


def as_id(value: object) -> EntityId | ReviewId:
    """The id that ``value`` is: an integer or a text as it came; 412.0, as tables with gaps write it, is 412.

    "007" and "412.0" stay the texts that they are. Raises ValueError, whose text is ``EXPECTED``, for what
    cannot name anything for good: true and false, fractions, floats beyond 2^53, texts that are blank, too
    long, or have control characters, line separators or lone surrogates.
    """
    if isinstance(value, str):
        if value.strip() and len(value) <= MAX_LENGTH and not _forbidden(value):
            return str(value)
    elif isinstance(value, float):
        if value.is_integer() and abs(value) <= _WHOLE_FLOATS:
            return int(value)
    elif hasattr(value, "__index__") and not isinstance(value, bool):
        number = operator.index(value)
        if abs(number) < 10 ** (MAX_LENGTH - 1):
            return number
    raise ValueError(EXPECTED)


def _forbidden(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(letter) in _FORBIDDEN for letter in text)

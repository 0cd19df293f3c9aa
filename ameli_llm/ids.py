"""Ids of products and reviews: what the user has, integers or strings; they come back as they came.

Within a dataset no two products, and no two reviews, have ids of the same text (5 and "5"), so stores that
know only text can name them by it.
"""

from __future__ import annotations

import hashlib
import json
import operator
import re
import unicodedata
from typing import TypeAlias

EntityId: TypeAlias = int | str
ReviewId: TypeAlias = int | str

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,999})", re.ASCII)
MAX_LENGTH = 200
"""Most characters of an id, written as text."""

EXPECTED = f"a whole number or a text of 1 to {MAX_LENGTH} characters without control characters"

_WHOLE_FLOATS = 2**53
_FORBIDDEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def id_order(id_: EntityId | ReviewId) -> tuple[bool, int, str]:
    """A sort key: integers by size, then strings by code point."""
    return (True, 0, id_) if isinstance(id_, str) else (False, id_, "")


def id_number(id_: EntityId | ReviewId) -> int:
    """A number from 0 up that stands for the id, to seed a random generator with: an integer's own."""
    if isinstance(id_, int) and id_ >= 0:
        return id_
    return int.from_bytes(hashlib.blake2b(str(id_).encode(), digest_size=8).digest())


def id_key(id_: EntityId | ReviewId) -> str:
    """The id as the key of a JSON object: its text, in quotation marks where that would read as another."""
    if isinstance(id_, int):
        return str(id_)
    return json.dumps(id_) if id_.startswith('"') or _INTEGER.fullmatch(id_) else id_


def id_of_key(key: str) -> EntityId | ReviewId:
    """The id that ``id_key`` made the key from. Raises ValueError on a key that it makes of none."""
    if key.startswith('"'):
        try:
            return str(json.loads(key))
        except ValueError:
            raise ValueError(f"{key[:40]!r} is no id") from None
    return int(key) if _INTEGER.fullmatch(key) else key


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

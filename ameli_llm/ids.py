"""Ids of products and reviews: what the user has, integers or strings; they come back as they came.

Within a dataset no two products, and no two reviews, have ids of the same text (5 and "5"), so stores that
know only text can name them by it.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TypeAlias

EntityId: TypeAlias = int | str
ReviewId: TypeAlias = int | str

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,999})", re.ASCII)


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
        id_ = json.loads(key)
        if not isinstance(id_, str):
            raise ValueError(f"{key[:40]!r} is no id")
        return id_
    return int(key) if _INTEGER.fullmatch(key) else key

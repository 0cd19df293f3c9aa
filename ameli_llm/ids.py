"""Ids of products and reviews: what the user has, integers or strings; they come back as they came.

Within a dataset no two products, and no two reviews, have ids of the same text (5 and "5"), so files and
stores that know only text can name them by it.
"""

from __future__ import annotations

from typing import TypeAlias

EntityId: TypeAlias = int | str
ReviewId: TypeAlias = int | str


def id_order(id_: EntityId | ReviewId) -> tuple[bool, int, str]:
    """A sort key: integers by size, then strings by code point."""
    return (True, 0, id_) if isinstance(id_, str) else (False, id_, "")

"""What a build keeps on disk: the tables of its store, and the values that come out of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

TABLES = (
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS steps"
    " (name TEXT PRIMARY KEY, done INTEGER NOT NULL, finished INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS products"
    " (row INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, name TEXT NOT NULL, source INTEGER NOT NULL,"
    " record TEXT)",
    "CREATE INDEX IF NOT EXISTS products_by_name ON products (name)",
    "CREATE TABLE IF NOT EXISTS reviews (position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL,"
    " place TEXT NOT NULL, source INTEGER NOT NULL, product INTEGER NOT NULL, record TEXT NOT NULL,"
    " details TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS counts (step TEXT NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL,"
    " number INTEGER NOT NULL, PRIMARY KEY (step, what, reason)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS examples (step TEXT NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL,"
    " number INTEGER NOT NULL, place TEXT NOT NULL, shown TEXT NOT NULL,"
    " PRIMARY KEY (step, what, reason, number)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS bands (kind TEXT NOT NULL, band INTEGER NOT NULL, value INTEGER NOT NULL,"
    " position INTEGER NOT NULL, whole INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS edges"
    " (one INTEGER NOT NULL, other INTEGER NOT NULL, PRIMARY KEY (one, other)) WITHOUT ROWID",
)


@dataclass(frozen=True)
class Example:
    """Where a thing stood that was dropped or noted, and the beginning of what it says."""

    place: str
    shown: str


@dataclass(frozen=True)
class Count:
    """So many things of one kind with one reason in one step; ``what`` is "review dropped", "photo noted"."""

    step: str
    what: str
    reason: str
    number: int
    examples: tuple[Example, ...]


class Member(NamedTuple):
    """A review in a bucket, by its position, its product's row, and what its band was cut from."""

    position: int
    product: int
    whole: int

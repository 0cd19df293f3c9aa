"""Checksums of the entries of a SQLite table: SQLite itself does not notice most of what damages a file."""

from __future__ import annotations

import sqlite3
import zlib

CHECKSUM = "checksum"
"""The column with the checksums."""


def checksum_of(key: str, value: str | bytes) -> int:
    """CRC-32 of an entry: of its key too, as a damaged file can give the value of another."""
    return zlib.crc32(value if isinstance(value, bytes) else value.encode(), zlib.crc32(key.encode()))


def add_checksums(database: sqlite3.Connection, table: str, key: str, value: str) -> None:
    """Gives a table of an earlier version, with these two columns, its checksums; else does nothing."""
    if _has_checksums(database, table):
        return
    database.execute("BEGIN IMMEDIATE")
    if not _has_checksums(database, table):  # else another process has just added them
        database.create_function("checksum_of", 2, checksum_of, deterministic=True)
        database.execute(f"ALTER TABLE {table} ADD COLUMN {CHECKSUM} INTEGER")
        database.execute(f"UPDATE {table} SET {CHECKSUM} = checksum_of({key}, {value})")
    database.commit()


def _has_checksums(database: sqlite3.Connection, table: str) -> bool:
    return any(row[1] == CHECKSUM for row in database.execute(f"PRAGMA table_info({table})"))

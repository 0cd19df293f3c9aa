"""Texts by key in one SQLite file, shared by threads and processes; no fault of the file stops a run."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from ameli_llm.checksums import CHECKSUM, add_checksums, checksum_of
from ameli_llm.untrusted import MAX_BYTES

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BUSY_SECONDS = 30.0
_COLUMNS = f"key TEXT PRIMARY KEY, value TEXT NOT NULL, {CHECKSUM} INTEGER"
_TABLE = f"CREATE TABLE IF NOT EXISTS texts ({_COLUMNS}) WITHOUT ROWID"


class TextStore:
    """``get`` and ``put`` of texts. A damaged file is moved aside and begun anew, with a warning.

    A text that is not as it was put, as its checksum tells, is not found.

    When it cannot be written (disk full, no permission) the store goes quiet after one warning: it then
    finds nothing and keeps nothing. A file that another process holds for 30 s costs that one call only.
    With ``compress`` the texts are written by zlib.
    """

    def __init__(self, path: Path, *, compress: bool = False) -> None:
        self._path = path
        self._compress = compress
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._inode = 0
        with self._lock:
            self._open()

    def get(self, keys: Iterable[str]) -> dict[str, str]:
        """The stored texts among ``keys``."""
        query = f"SELECT value, {CHECKSUM} FROM texts WHERE key = ?"

        def read(database: sqlite3.Connection) -> dict[str, str]:
            rows = ((key, database.execute(query, (key,)).fetchone()) for key in keys)
            texts = ((key, _text(key, *row)) for key, row in rows if row is not None)
            return {key: text for key, text in texts if text is not None}

        return self._guarded(read, {})

    def put(self, texts: Mapping[str, str]) -> None:
        """Stores all of them or none; a key that is there already gets the new text."""

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", rows)

        values = {k: zlib.compress(text.encode()) if self._compress else text for k, text in texts.items()}
        rows = [(key, value, checksum_of(key, value)) for key, value in values.items()]
        if rows:
            self._guarded(write, None)

    def close(self) -> None:
        """Closes the file; later calls find nothing and keep nothing. Idempotent."""
        with self._lock:
            self._shut()

    def _guarded(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            for _ in range(2):  # the second time on the new file, when the old one was damaged
                if self._database is None:
                    break
                try:
                    return work(self._database)
                except sqlite3.Error as error:
                    if not self._recover(error):
                        break
        return otherwise

    def _open(self) -> None:
        for _ in range(2):
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch()
                self._inode = self._path.stat().st_ino
                self._database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
                _prepare(self._database)
                return
            except sqlite3.Error as error:
                if not (is_damaged(error) and self._move_aside(error)):
                    return self._give_up(error)
            except OSError as error:
                return self._give_up(error)

    def _recover(self, error: sqlite3.Error) -> bool:
        """Whether the work may be tried again, on a new file."""
        if _busy(error):
            logger.warning("Cache %s is held by another process: passed over this time.", self._path)
            return False
        if is_damaged(error) and self._move_aside(error):
            self._open()
            return True
        self._give_up(error)
        return False

    def _move_aside(self, error: sqlite3.Error) -> bool:
        """Whether the path is free for a new file, or has one already."""
        self._shut()
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        try:
            if self._path.stat().st_ino != self._inode:
                return True  # another process has replaced it already
            os.replace(self._path, aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        logger.warning("Cache %s is damaged (%s): moved to %s.", self._path, error, aside.name)
        return True

    def _give_up(self, error: Exception) -> None:
        logger.warning("Cache %s cannot be used (%s): going on without it.", self._path, error)
        self._shut()

    def _shut(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None


def _text(key: str, value: object, checksum: object) -> str | None:
    """The text of an entry; None for a value that is none, or not the one that was put."""
    if not isinstance(value, str | bytes) or checksum != checksum_of(key, value):
        return None
    if isinstance(value, str):
        return value
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(value, MAX_BYTES).decode()
    except (zlib.error, UnicodeDecodeError):
        return None
    return text if inflater.eof else None


@retry(
    retry=retry_if_exception(lambda error: _busy(error)),
    stop=stop_after_delay(_BUSY_SECONDS),
    wait=wait_fixed(0.05),
    reraise=True,
)
def _prepare(database: sqlite3.Connection) -> None:
    # Two processes that turn a new file to WAL at one moment: one is refused without SQLite's own waiting.
    database.text_factory = _readable
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(_TABLE)
    database.commit()
    add_checksums(database, "texts", "key", "value")


def _readable(raw: bytes) -> str:
    """A text of the file; what is no UTF-8 is damage, which the checksum tells."""
    return raw.decode("utf-8", "replace")


def _code(error: BaseException) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # the low byte is the primary code


def is_damaged(error: BaseException) -> bool:
    """Whether SQLite says that the file is damaged, or none of its own."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _busy(error: BaseException) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

"""Texts in one SQLite file: shared by processes, and no fault of the file stops a run."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing
from pathlib import Path

from ameli_llm.store import TextStore

WRITER = """
import sys
from pathlib import Path
from ameli_llm.store import TextStore
store = TextStore(Path(sys.argv[1]))
for number in range(100):
    store.put({f"{sys.argv[2]}-{number}": "x", f"shared-{number}": "y"})
    assert store.get([f"shared-{number}"]) == {f"shared-{number}": "y"}
store.close()
"""


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM texts").fetchone()[0])


def test_processes_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stderr=subprocess.PIPE)
        for name in ("a", "b", "c")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=280)
        assert (writer.returncode, errors) == (0, b"")
    assert rows(path) == 400


FULL_DISK = """
import logging, resource, signal, sys
from pathlib import Path
from ameli_llm.store import TextStore
logging.basicConfig(format="%(message)s")
store = TextStore(Path(sys.argv[1]))
store.put({"before": "x"})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for number in range(5):
    store.put({f"{number}-{key}": "y" * 1000 for key in range(100)})
print(store.get(["before"]))
store.close()
"""


def test_a_full_disk_ends_the_caching_and_not_the_run(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=280
    )
    assert (done.returncode, done.stdout) == (0, "{}\n"), done.stderr
    assert done.stderr.count("\n") == 1
    assert "going on without it" in done.stderr
    TextStore(path).close()
    assert rows(path) % 100 == 1, "whole batches, or nothing of one"


def test_a_file_of_an_earlier_version_keeps_its_texts(tmp_path: Path) -> None:
    """It has no checksums; they are added."""
    path = tmp_path / "cache"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE texts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        database.executemany("INSERT INTO texts VALUES (?, ?)", [("a", "x"), ("b", zlib.compress(b"y"))])
    for _ in range(2):
        store = TextStore(path, compress=True)
        assert store.get(["a", "b"]) == {"a": "x", "b": "y"}
        store.put({"a": "z"})
        assert store.get(["a"]) == {"a": "z"}
        store.put({"a": "x"})
        store.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE texts SET value = 'w' WHERE key = 'a'")
    store = TextStore(path, compress=True)
    assert store.get(["a", "b"]) == {"b": "y"}, "somebody changed the other one"
    store.close()

"""What is kept with an index is as it was made, whatever happens to its files."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ameli_llm import locking
from ameli_llm.attributes.values.statistics import KBStatistics
from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import AmeliError
from ameli_llm.seal import SEAL, flaw, seal
from ameli_llm.types import Review
from retrieval.index import Index, open_index
from retrieval.retrievers import RETRIEVERS
from retrieval.retrievers.retriever import make_queries

REVIEWS = [
    Review(1, "Great blender", "My red Acme blender is quiet.", "Acme blender"),
    Review(2, "Long battery", "The WH1000XM4 headphones block all noise.", "headphones"),
]
ATTRIBUTES = [{"Color": ("Red",)}, {"Color": ("Red", "Blue")}, {"Capacity": ("4TB",)}]


def scores(name: str) -> Callable[[Index], bytes]:
    def of(index: Index) -> bytes:
        retriever = RETRIEVERS.load(name)(index, RetrievalConfig())
        return bytes(retriever.score(make_queries(REVIEWS, lambda _: None)).tobytes())

    return of


def statistics(index: Index) -> bytes:
    def write(place: Path) -> None:
        (place / "statistics.json").write_text(KBStatistics.of(ATTRIBUTES).to_json())

    place = index.derived("attributes", write)
    return KBStatistics.from_json((place / "statistics.json").read_text()).to_json().encode()


def vectors(index: Index) -> bytes:
    place = index.derived("vectors", lambda place: np.save(place / "vectors.npy", np.arange(12.0)))
    return bytes(np.load(place / "vectors.npy", mmap_mode="r").tobytes())


KINDS = {
    "bm25": scores("bm25"),
    "tfidf-by-term": scores("tfidf"),
    "title": scores("title"),
    "priors-rules-by-chunk": scores("prior"),
    "attributes": statistics,
    "vectors": vectors,
}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[2 * len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, empty, flip, Path.unlink])
@pytest.mark.parametrize("name", KINDS)
def test_damage_is_mended_when_the_index_is_opened_again(
    index: Index,
    config: RetrievalConfig,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    before = KINDS[name](index)
    place = index.place / "derived" / name
    files = {path.name: path.read_bytes() for path in place.iterdir() if path.stat().st_size}
    assert len(files) >= 2
    for file in files:
        damage(place / file)
        caplog.clear()
        with open_index(index.folder, config) as again:
            assert KINDS[name](again) == before, file
        told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(told) == 1, file
        assert told[0].startswith(f"{place} is damaged and is made again: ")
        assert flaw(place) == ""


def test_a_whole_folder_is_read_and_not_made_again(index: Index, config: RetrievalConfig) -> None:
    for read in KINDS.values():
        read(index)
    places = sorted((index.place / "derived").glob("[!.]*"))
    inodes = [place.stat().st_ino for place in places]
    with open_index(index.folder, config) as again:
        for read in KINDS.values():
            read(again)
    assert [place.name for place in places] == sorted(KINDS)
    assert [place.stat().st_ino for place in places] == inodes


def test_a_folder_of_an_older_program_without_a_seal_is_made_again(index: Index) -> None:
    place = index.place / "derived" / "vectors"
    place.mkdir(parents=True)
    np.save(place / "vectors.npy", np.zeros(12))
    assert np.frombuffer(vectors(index))[-1] == 11


def test_what_a_killed_process_left_is_no_obstacle(index: Index) -> None:
    draft = index.place / "derived" / ".vectors.draft"
    draft.mkdir(parents=True)
    (draft / "part").write_text("1")
    vectors(index)
    assert sorted(path.name for path in (index.place / "derived" / "vectors").iterdir()) == [
        *(SEAL, "vectors.npy"),
    ]
    assert not draft.exists()


def test_an_interruption_leaves_nothing(index: Index) -> None:
    def interrupted(place: Path) -> None:
        (place / "part").write_text("1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.derived("table", interrupted)
    assert [path.name for path in (index.place / "derived").iterdir()] == [".table.lock"]


def test_where_nothing_is_left_the_reason_is_told(index: Index) -> None:
    def full(place: Path) -> None:
        (place / "part").write_text("1")
        raise OSError(28, "No space left on device")

    with pytest.raises(AmeliError, match=r"Cannot write .*derived/table or .*: No space left on device\."):
        index.derived("table", full)
    assert [path.name for path in (index.place / "derived").iterdir()] == [".table.lock"]


def no_folder(index: Index) -> None:
    (index.place / "derived").write_text("in the way")


def replaced(index: Index) -> None:
    shutil.rmtree(index.place)


@pytest.mark.parametrize("obstacle", [no_folder, replaced])
def test_what_cannot_be_kept_is_made_for_this_time(
    index: Index, caplog: pytest.LogCaptureFixture, obstacle: Callable[[Index], None]
) -> None:
    obstacle(index)
    made = index.derived("table", lambda place: (place / "x").write_text("1") and None)
    assert index.derived("table", shutil.rmtree) == made
    assert not made.is_relative_to(index.folder)
    assert (made / "x").read_text() == "1"
    assert "cannot be kept" in caplog.text
    index.close()
    assert not made.exists()


def test_an_index_that_is_replaced_while_a_table_is_made(index: Index) -> None:
    def write(place: Path) -> None:
        (place / "x").write_text("1")
        shutil.rmtree(index.place, ignore_errors=True)

    assert (index.derived("table", write) / "x").read_text() == "1"
    index.close()


def test_a_file_in_the_place_of_the_folder(index: Index) -> None:
    (index.place / "derived").mkdir()
    (index.place / "derived" / "vectors").write_text("no folder")
    assert np.frombuffer(vectors(index))[-1] == 11
    assert (index.place / "derived" / "vectors" / "vectors.npy").is_file()


def test_two_at_once_make_it_once(index: Index, config: RetrievalConfig) -> None:
    """The second one says that it waits, then uses what the first has made."""
    place, waits = index.place / "derived" / "vectors", threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == f"Another process is making {place}; waiting until it is done.":
                waits.set()

    def first() -> None:
        with locking.held(place.with_name(".vectors.lock"), "nothing"):
            holds.set()
            waits.wait(60)
            place.mkdir()
            np.save(place / "vectors.npy", np.full(3, 7.0))
            seal(place)

    holds, listener = threading.Event(), Listener()
    place.parent.mkdir()
    other = threading.Thread(target=first)
    logging.getLogger("ameli_llm.locking").addHandler(listener)
    try:
        other.start()
        assert holds.wait(60)
        with open_index(index.folder, config) as second:
            assert np.frombuffer(vectors(second)).tolist() == [7, 7, 7]
    finally:
        logging.getLogger("ameli_llm.locking").removeHandler(listener)
        other.join()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("[" * 100_000, "checksums.json cannot be read"),
        ("{}", ""),
        ('{"a": "0"}', "a has changed"),
        ('{"b": "0"}', "b cannot be read"),
        ('{"a": 1}', "checksums.json cannot be read"),
        ("\udc80", "checksums.json cannot be read"),
    ],
)
def test_flaw(tmp_path: Path, content: str, found: str) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / SEAL).write_text(content, encoding="utf-8", errors="surrogateescape")
    assert flaw(tmp_path) == found

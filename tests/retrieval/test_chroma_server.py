"""One index on a real Chroma server, for several linkers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.config import CHROMA_TOKEN, RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from retrieval.building import build_index
from retrieval.generations import current
from retrieval.index import Index, open_index, read_index
from retrieval.shared.server import Server, StateDamagedError, ef_search, open_server
from retrieval.shared.sharing import share
from retrieval.shared.state import Shared, State, key_of, write_shared
from retrieval.snapshot import Snapshot
from tests.retrieval.chroma_process import Between, free_port, running, standing_between

Count = Callable[[Dataset, Path, RetrievalConfig], dict[str, int]]


@pytest.fixture(scope="module")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("server") / "data") as url:
        yield url


@pytest.fixture(scope="module")
def opened(chroma: str) -> Iterator[Server]:
    with open_server(chroma) as server:
        yield server


@pytest.fixture
def server(opened: Server) -> Server:
    """The server, empty at first."""
    for name in names(opened):
        opened._client.delete_collection(name)
    return opened


@pytest.fixture
def between(chroma: str) -> Iterator[Between]:
    with standing_between(chroma) as one:
        yield one


@pytest.fixture
def shared(config: RetrievalConfig, chroma: str) -> RetrievalConfig:
    return config.model_copy(update={"store": "chroma-server", "chroma_url": chroma})


@pytest.fixture
def state(server: Server, index: Index) -> State:
    """The state that the server has."""
    return server.publish(key(index), index.snapshot, ef_search(10))


@pytest.fixture
def first(state: State, index_with_encoders: Index, chroma: str) -> Iterator[Index]:
    """The index of the linker that has brought ``state`` there."""
    write_shared(index_with_encoders.place, Shared(url=chroma, state=state))
    with open_again(index_with_encoders) as index:
        yield index


def open_again(index: Index) -> Index:
    again = read_index(index.folder)
    vars(again).update(text_encoder=index.text_encoder)
    again.loaded_image_encoders.update(index.loaded_image_encoders)
    return again


def key(index: Index) -> str:
    return key_of(index.entries, index.manifest.text, index.manifest.image_encoders)


def names(server: Server) -> list[str]:
    return sorted(one.name for one in server._client.list_collections())


def stamps(index: Index) -> Any:
    return index.manifest.text, index.manifest.image_encoders


def equal(one: Snapshot, other: Snapshot) -> bool:
    arrays = [[each.text, each.image_owner, *each.images.values()] for each in (one, other)]
    return one.entries == other.entries and all(map(np.array_equal, *arrays))


def never() -> Snapshot:
    raise AssertionError("embedded anew")


def refused(snapshot: Snapshot) -> None:
    raise AssertionError("kept")


class TestSharing:
    def test_a_second_linker_embeds_nothing_and_finds_the_same(
        self, first: Index, dataset: Dataset, shared: RetrievalConfig, count_encoded: Count, tmp_path: Path
    ) -> None:
        assert count_encoded(dataset, tmp_path / "second", shared) == {}
        queries = np.array(first.text_vectors)  # else BLAS sees a matrix and its own transpose
        with open_index(tmp_path / "second", shared, dataset.digest) as second:
            assert equal(first.snapshot, second.snapshot)
            assert second.manifest == first.manifest
            assert not (second.place / "chroma").exists()
            for exact in (True, False):
                found = [index.nearest_texts(queries, 3, exact=exact) for index in (first, second)]
                for (rows, scores), (other_rows, other_scores) in zip(*found, strict=True):
                    assert rows.tolist() == other_rows.tolist()
                    assert np.array_equal(scores, other_scores)
                assert [rows[0] for rows, _ in found[0]] == list(range(6))

    @pytest.mark.slow
    def test_up_to_date_nothing_is_written(
        self, first: Index, dataset: Dataset, shared: RetrievalConfig, server: Server, count_encoded: Count
    ) -> None:
        before = names(server)
        assert count_encoded(dataset, first.folder, shared) == {}
        assert (current(first.folder), names(server)) == (first.place, before)

    @pytest.mark.slow
    def test_unusable_images_have_their_reasons_there(
        self,
        server: Server,
        root: Path,
        dataset: Dataset,
        shared: RetrievalConfig,
        count_encoded: Count,
        tmp_path: Path,
    ) -> None:
        (root / "product_images" / "10-0.png").write_bytes(b"")
        (root / "product_images" / "30-0.png").unlink()
        with build_index(dataset, tmp_path / "a", shared) as one:
            assert count_encoded(dataset, tmp_path / "b", shared) == {}
            with open_index(tmp_path / "b", shared) as other:
                assert equal(one.snapshot, other.snapshot)
                assert other.manifest.unusable_images == 2

    @pytest.mark.slow
    def test_without_images(
        self, server: Server, dataset: Dataset, shared: RetrievalConfig, count_encoded: Count, tmp_path: Path
    ) -> None:
        config = shared.model_copy(update={"image_encoders": ()})
        with build_index(dataset, tmp_path / "a", config) as one:
            assert count_encoded(dataset, tmp_path / "b", config) == {}
            with open_index(tmp_path / "b", config) as other:
                assert equal(one.snapshot, other.snapshot)

    def test_a_folder_is_of_one_store_at_a_time(
        self, first: Index, config: RetrievalConfig, shared: RetrievalConfig
    ) -> None:
        with pytest.raises(AmeliError) as caught:
            open_index(first.folder, config)
        assert str(caught.value) == (
            f"The index in {first.folder} is kept on the Chroma server {shared.chroma_url}, the "
            "configuration asks for one in its own folder. Type: ameli-llm index DATASET --config FILE; "
            "nothing is embedded anew. --out names another folder."
        )
        (first.place / "server.json").unlink()
        with pytest.raises(AmeliError, match="kept in its own folder, the configuration asks for one on the"):
            open_index(first.folder, shared)
        (first.place / "server.json").write_text("{}")
        with pytest.raises(AmeliError, match=r"is damaged: server\.json cannot be read"):
            open_index(first.folder, shared)

    @pytest.mark.slow
    def test_from_server_to_folder_and_back(
        self,
        first: Index,
        dataset: Dataset,
        config: RetrievalConfig,
        shared: RetrievalConfig,
        count_encoded: Count,
    ) -> None:
        for chosen in (config, shared, config):
            assert count_encoded(dataset, first.folder, chosen) == {}
            with open_index(first.folder, chosen) as index:
                found = index.nearest_texts(index.text_vectors, 1, exact=False)
                assert [rows[0] for rows, _ in found] == list(range(6))

    def test_a_larger_pool_than_it_was_made_for(self, state: State, server: Server, index: Index) -> None:
        assert state.ef_search == 4000
        server.require_searchable(state, 5000)  # of six products, every one is looked at
        server.remove(state.key)
        narrow = server.publish(state.key, index.snapshot, 8)
        with pytest.raises(AmeliError, match="pool of at most 2, the configuration asks for 3"):
            server.require_searchable(narrow, 3)


class TestChanges:
    def test_a_change_is_a_state_of_its_own_which_others_take(
        self, first: Index, workshop: Any, records: list[dict[str, Any]], server: Server
    ) -> None:
        records[1]["product_name"] = "Acme - Breeze 301 Blender - Blue"
        changed = workshop.dataset([*records[:3], *records[4:]])
        with first.changed([changed.products[20]], [40], changed.product_image, changed.digest) as after:
            assert {one.products for one in server.states()} == {5, 6}
            kept: list[Snapshot] = []
            share(server, after.entries, stamps(after), 4000, None, never, kept.append)
            assert len(kept) == 1
            assert equal(kept[0], after.snapshot)
            assert after.nearest_texts(after.text_vectors, 1, exact=False)[0][0].tolist() == [0]
        assert first.nearest_texts(first.text_vectors, 1, exact=False)[5][0].tolist() == [5]

    def test_a_change_that_the_server_does_not_take_is_none(
        self, first: Index, state: State, between: Between
    ) -> None:
        write_shared(first.place, Shared(url=between.url, state=state))
        index = open_again(first)
        between.answers["/upsert"] = 500, b'{"error": "InternalError", "message": "disk full"}'
        with pytest.raises(AmeliError, match="failed, or is no Chroma server: disk full"):
            index.delete([20])
        assert current(index.folder) == index.place
        between.answers.clear()
        assert len(index.delete([20])) == 5


KILLED = """
import sys
from pathlib import Path
from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import load_dataset
from retrieval.building import build_index
server = {"store": "chroma-server", "chroma_url": sys.argv[3]}
config = RetrievalConfig(image_encoders=("descriptor",), **server)
build_index(load_dataset(Path(sys.argv[1])), Path(sys.argv[2]), config)
"""


class TestInterruption:
    def test_what_was_embedded_is_kept_before_it_is_sent(
        self, server: Server, between: Between, index: Index
    ) -> None:
        between.answers["/upsert"] = 503, b"full"
        kept: list[Snapshot] = []
        with open_server(between.url) as failing, pytest.raises(AmeliError, match="full"):
            share(failing, index.entries, stamps(index), 4000, None, lambda: index.snapshot, kept.append)
        assert kept == [index.snapshot]
        assert names(server) == []

    @pytest.mark.slow
    def test_a_writer_that_is_killed(
        self,
        server: Server,
        between: Between,
        root: Path,
        dataset: Dataset,
        folder: Path,
        shared: RetrievalConfig,
        count_encoded: Count,
    ) -> None:
        between.delays["/upsert"] = 60
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(root), str(folder), between.url], env=environment
        )
        try:
            deadline = time.monotonic() + 120
            while not any(path.endswith("/upsert") for path in between.paths):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        (half,) = names(server)
        assert half.endswith("-text")
        assert server.states() == []
        assert count_encoded(dataset, folder, shared) == {}
        (whole,) = server.states()
        assert names(server) == sorted(
            [half, f"ameli-{whole.key}", f"{whole.prefix}text", f"{whole.prefix}image-descriptor"]
        )

    def test_half_written_collections_are_never_opened_and_go_after_a_day(
        self, first: Index, state: State, server: Server
    ) -> None:
        client = server._client
        now = client.heartbeat()
        half = [f"ameli-{'0' * 32}-{'1' * 16}-text", f"ameli-{state.key}-{'1' * 16}-text"]
        young = f"ameli-{'0' * 32}-{'2' * 16}-text"
        for name, age in [(half[0], 86_401), (half[1], 86_401), (young, 86_000), ("of-others", 10**6)]:
            client.create_collection(name, metadata={"begun": now - age * 10**9}, embedding_function=None)
        assert server.find("0" * 32) is None
        first.delete([20]).close()
        assert {*half, young, "of-others"} & set(names(server)) == {young, "of-others"}
        assert len(server.states()) == 2

    def test_the_first_to_finish_stands(self, server: Server, index: Index) -> None:
        """Another linker's machine gives other last bits: everybody takes the vectors of the first."""
        theirs = replace(index.snapshot, text=np.array(index.text_vectors[:, ::-1]))
        kept: list[Snapshot] = []

        def make() -> Snapshot:
            server.publish(key(index), theirs, 4000)  # while this one embeds
            return index.snapshot

        state = share(server, index.entries, stamps(index), 4000, None, make, kept.append)
        assert [state] == server.states()
        assert len([name for name in names(server) if name.endswith("-text")]) == 1
        assert [np.array_equal(one.text, theirs.text) for one in kept] == [False, True]


def damage(server: Server, state: State, what: str) -> None:
    client = server._client
    texts = client.get_collection(f"{state.prefix}text", embedding_function=None)
    marker = client.get_collection(f"ameli-{state.key}", embedding_function=None)
    if what == "a vector":
        texts.update(ids=["20"], embeddings=np.full((1, 384), 0.05, np.float32))
    elif what == "a great number":
        texts.update(ids=["20"], embeddings=np.full((1, 384), 1e30, np.float32))
    elif what in ("a record less", "another record"):
        texts.delete(ids=["20"])
        if what == "another record":
            texts.add(ids=["21"], embeddings=np.full((1, 384), 0.05, np.float32))
    elif what == "a reason":
        texts.update(ids=["20"], metadatas=[{"image_problems": '["haunted"]'}])
    elif what == "a usable image":
        texts.update(ids=["20"], metadatas=[{"image_problems": '["truncated"]'}])
    elif what == "a collection":
        client.delete_collection(f"{state.prefix}image-descriptor")
    elif what == "the marker":
        marker.modify(metadata={"state": "[" * 1000})
    else:
        other = state.model_copy(update={"key": "0" * 32})
        marker.modify(metadata={"state": other.model_dump_json()})


class TestDamage:
    @pytest.mark.parametrize(
        ("what", "message"),
        [
            ("a vector", "its vectors are not those that were written"),
            ("a great number", "the collection of text has vectors that no encoder makes"),
            ("a record less", "the collection of text has other records or is not there"),
            ("another record", "the collection of text has other records or is not there"),
            ("a reason", "it has an image that is unusable for no known reason"),
            ("a usable image", "it is of other products or images"),
            ("a collection", "the collection of image-descriptor has other records or is not there"),
            ("the marker", "its marker cannot be read"),
            ("the key", "its marker is of 00000000000000000000000000000000"),
        ],
    )
    def test_it_is_found_and_made_again(
        self,
        what: str,
        message: str,
        state: State,
        index: Index,
        server: Server,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        damage(server, state, what)
        kept: list[Snapshot] = []
        share(server, index.entries, stamps(index), 4000, None, lambda: index.snapshot, kept.append)
        assert f"The index ameli-{state.key} on the Chroma server at " in caplog.text
        assert f"is damaged: {message}. " in caplog.text
        assert kept == [index.snapshot]
        share(server, index.entries, stamps(index), 4000, None, never, kept.append)
        assert equal(kept[1], index.snapshot)

    def test_whoever_holds_it_notices_when_it_asks(self, first: Index, state: State, server: Server) -> None:
        damage(server, state, "a record less")
        with pytest.raises(StateDamagedError, match=r"of text is not whole\. Type: ameli-llm index"):
            first.nearest_texts(first.text_vectors, 1, exact=False)
        server.remove(state.key)
        assert names(server) == []
        with pytest.raises(AmeliError, match="has not the vectors that the exports here are of"):
            first.nearest_texts(first.text_vectors, 1, exact=False)


def answers(**parts: Any) -> Callable[[Any], Any]:
    """What the server says, with other ``parts``; a function is given the number of queries."""
    return lambda found: {**found, **{name: part(len(found["ids"])) for name, part in parts.items()}}


LIES = [
    ("/count", lambda found: "many", "not whole"),
    ("/query", answers(ids=lambda n: [["99", "99"]] * n), "no ranking"),
    ("/query", answers(ids=lambda n: [["10", "20"]] * (n - 1)), "zip"),
    ("/query", answers(distances=lambda n: [[0.1]] * n), "no ranking"),
    ("/query", answers(distances=lambda n: [[None, None]] * n), "no ranking"),
    ("/query", answers(distances=lambda n: [["a", "b"]] * n), "convert"),
    ("/query", answers(ids=lambda n: [["99", "98"]] * n), "Chroma found '99', which is no product"),
    ("/query", lambda found: [found], "failed, or is no Chroma server"),
]


class TestUntrusted:
    def test_an_odd_answer_to_a_search(self, first: Index, state: State, between: Between) -> None:
        write_shared(first.place, Shared(url=between.url, state=state))
        with read_index(first.folder) as index:
            for path, lie, message in LIES:
                between.answers = {path: lie}
                with pytest.raises(AmeliError, match=message):
                    index.nearest_texts(index.text_vectors[:2], 2, exact=False)

    def test_nonsense_from_something_between_removes_nothing(
        self, index: Index, state: State, server: Server, between: Between
    ) -> None:
        for lie in ([], "busy", {"ids": "abc"}, {"ids": ["10"], "embeddings": [["x"]]}):
            between.answers["/get"] = 200, json.dumps(lie).encode()
            with open_server(between.url) as odd, pytest.raises(AmeliError, match="or is no Chroma server"):
                share(odd, index.entries, stamps(index), 4000, None, never, refused)
        between.answers["/get"] = 200, b"<html>busy"
        with open_server(between.url) as odd, pytest.raises(AmeliError, match="or is no Chroma server"):
            share(odd, index.entries, stamps(index), 4000, None, never, refused)
        assert server.states() == [state]

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (
                (200, b'"0.6.3"'),
                r"is of version 0\.6\.3; the installed chromadb 1\.\S+ needs one of version 1",
            ),
            ((200, b"<html>"), "failed, or is no Chroma server"),
            ((200, b'["1.0.0"]'), "is of version"),
            ((404, b"<html>Not\nhere</html>"), "is no Chroma server: <html>Not here</html>"),
            ((302, b""), "redirects elsewhere"),
            (
                (403, b"{}"),
                f"a request without a token, as the environment variable {CHROMA_TOKEN} is not set",
            ),
            ((200, b" " * (65 << 20)), "more than 64 MiB"),
        ],
        ids=["old", "page", "list", "missing", "redirect", "token", "large"],
    )
    def test_another_server(self, answer: tuple[int, bytes], message: str) -> None:
        with standing_between("") as other:
            other.answers["/version"] = answer
            with pytest.raises(AmeliError, match=message), open_server(other.url):
                pass

    def test_a_compressed_answer(self) -> None:
        with standing_between("") as other:
            other.answers["/version"] = 200, b'"1.0.0"'
            other.headers["Content-Encoding"] = "gzip"
            with pytest.raises(AmeliError, match="compressed"), open_server(other.url):
                pass

    def test_a_slow_server(self, between: Between) -> None:
        between.delays["/identity"] = 1.0
        with (
            pytest.raises(AmeliError, match=r"has not answered within 0\.3 s"),
            open_server(between.url, 0.3),
        ):
            pass

    def test_no_server(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(AmeliError) as caught, open_server(url):
            pass
        assert caught.value.message.startswith(f"The Chroma server at {url} cannot be reached: ")
        assert caught.value.hint == "Start it with: chroma run --path DIR, or correct retrieval.chroma_url."

    def test_proxies_of_the_environment_are_not_asked(
        self, chroma: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
        with open_server(chroma) as server:
            assert isinstance(server.states(), list)


class TestToken:
    def test_it_comes_from_the_environment(
        self, state: State, between: Between, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        between.token = "secret-9"
        with pytest.raises(AmeliError, match="a request without a token"), open_server(between.url):
            pass
        monkeypatch.setenv(CHROMA_TOKEN, "another-8")
        with (
            pytest.raises(AmeliError, match=f"refuses the token of .* {CHROMA_TOKEN}") as caught,
            open_server(between.url),
        ):
            pass
        assert "another-8" not in str(caught.value)
        monkeypatch.setenv(CHROMA_TOKEN, "secret-9")
        with open_server(between.url) as server:
            assert server.states() == [state]

    @pytest.mark.slow
    def test_no_file_has_it(
        self,
        between: Between,
        dataset: Dataset,
        shared: RetrievalConfig,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        between.token = "secret-9"
        monkeypatch.setenv(CHROMA_TOKEN, "secret-9")
        build_index(dataset, tmp_path / "out", shared.model_copy(update={"chroma_url": between.url})).close()
        files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert "server.json" in {path.name for path in files}
        assert not [path for path in files if b"secret-9" in path.read_bytes()]

    def test_one_that_no_header_takes(self, chroma: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CHROMA_TOKEN, "a\nb")
        with pytest.raises(AmeliError, match="characters that no HTTP header takes"), open_server(chroma):
            pass


@pytest.mark.parametrize("url", ["http://me:secret@host:8000", "http://host?token=secret", "host", ""])
def test_an_address_has_no_secrets(url: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        RetrievalConfig(chroma_url=url)
    assert "secret" not in str(caught.value)

"""A server, or something between, that answers otherwise than Chroma does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ameli_llm.config import CHROMA_TOKEN
from ameli_llm.errors import AmeliError
from retrieval.index import Index, read_index
from retrieval.shared.server import Server, open_server
from retrieval.shared.sharing import share
from retrieval.shared.state import Shared, State, write_shared
from retrieval.snapshot import Snapshot
from tests.plugin_vllm import free_port
from tests.retrieval.shared.chroma_process import Between, standing_between
from tests.retrieval.shared.content import never, stamps


def answers(**parts: Any) -> Callable[[Any], Any]:
    """What the server says, with other ``parts``; a function is given the number of queries."""
    return lambda found: {**found, **{name: part(len(found["ids"])) for name, part in parts.items()}}


def refused(snapshot: Snapshot) -> None:
    raise AssertionError("kept")


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


def test_an_odd_answer_to_a_search(first: Index, state: State, between: Between) -> None:
    write_shared(first.place, Shared(url=between.url, state=state))
    with read_index(first.folder) as index:
        for path, lie, message in LIES:
            between.answers = {path: lie}
            with pytest.raises(AmeliError, match=message):
                index.nearest_texts(index.text_vectors[:2], 2, exact=False)


def test_nonsense_from_something_between_removes_nothing(
    index: Index, state: State, server: Server, between: Between
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
def test_another_server(answer: tuple[int, bytes], message: str) -> None:
    with standing_between("") as other:
        other.answers["/version"] = answer
        with pytest.raises(AmeliError, match=message), open_server(other.url):
            pass


def test_a_compressed_answer() -> None:
    with standing_between("") as other:
        other.answers["/version"] = 200, b'"1.0.0"'
        other.headers["Content-Encoding"] = "gzip"
        with pytest.raises(AmeliError, match="compressed"), open_server(other.url):
            pass


def test_a_slow_server(between: Between) -> None:
    between.delays["/identity"] = 1.0
    with (
        pytest.raises(AmeliError, match=r"has not answered within 0\.3 s"),
        open_server(between.url, 0.3),
    ):
        pass


def test_no_server() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(AmeliError) as caught, open_server(url):
        pass
    assert caught.value.message.startswith(f"The Chroma server at {url} cannot be reached: ")
    assert caught.value.hint == "Start it with: chroma run --path DIR, or correct retrieval.chroma_url."


def test_proxies_of_the_environment_are_not_asked(chroma: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with open_server(chroma) as server:
        assert isinstance(server.states(), list)

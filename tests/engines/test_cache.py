from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ameli_llm.checksums import checksum_of
from ameli_llm.engines.cache import CachedEngine, request_key
from ameli_llm.engines.engine import ChatReply, ChatRequest, Engine, Message
from ameli_llm.errors import AmeliError
from ameli_llm.types import Failure, State, Usage


class EchoEngine:
    """Says the last message back and counts what it was asked."""

    name = "echo"
    batch_size = 3
    workers = 2

    def __init__(self, model: str = "m", revision: str = "1", origin: str = "echo") -> None:
        self.model = model
        self.revision = revision
        self.origin = origin
        self.asked: list[str] = []
        self.replies: dict[str, ChatReply] = {}
        self.closed = False
        self.canaries = 0

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        texts = [request.messages[-1].content for request in requests]
        self.asked += texts
        return [self.replies.get(text, ChatReply(text, None, Usage(5, 1, 2), "stop")) for text in texts]

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        return [0 for _ in requests]

    def canary(self) -> None:
        self.canaries += 1

    def close(self) -> None:
        self.closed = True


def ask(text: str, **options: object) -> ChatRequest:
    return replace(ChatRequest((Message("user", text),)), **options)  # type: ignore[arg-type]


def test_a_request_is_sent_once(tmp_path: Path) -> None:
    inner = EchoEngine()
    engine = CachedEngine(inner, tmp_path / "new" / "cache.sqlite")
    first = engine.chat([ask("a"), ask("b")])
    second = engine.chat([ask("b"), ask("c"), ask("a")])
    assert [reply.text for reply in first + second] == ["a", "b", "b", "c", "a"]
    assert inner.asked == ["a", "b", "c"]
    assert (engine.hits, engine.misses) == (2, 3)
    engine.close()
    assert inner.closed


def test_the_stored_reply_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    reply = ChatReply("A", {"A": -0.1234567890123456789, "B": -9999.0}, Usage(640, 41, 512), "stop")
    for model_is_asked in (True, False):
        inner = EchoEngine()
        inner.replies = {"q": reply}
        engine = CachedEngine(inner, tmp_path / "cache")
        assert engine.chat([ask("q", choices=("A", "B"))]) == [reply]
        assert bool(inner.asked) is model_is_asked
        engine.close()


def test_identical_requests_of_a_batch_are_sent_once(tmp_path: Path) -> None:
    inner = EchoEngine()
    engine = CachedEngine(inner, tmp_path / "cache")
    assert [reply.text for reply in engine.chat([ask("a"), ask("b"), ask("a")])] == ["a", "b", "a"]
    assert inner.asked == ["a", "b"]
    engine.close()


def test_it_is_the_engine_it_wraps(tmp_path: Path) -> None:
    inner = EchoEngine("some/model", "rev", "http://here")
    engine: Engine = CachedEngine(inner, tmp_path / "cache")
    assert (engine.name, engine.model, engine.revision) == ("echo", "some/model", "rev")
    assert engine.origin == "http://here"
    assert (engine.batch_size, engine.workers) == (3, 2)
    engine.canary()
    engine.canary()
    assert inner.canaries == 2
    engine.close()


FULL = ChatRequest(
    (Message("system", "s"), Message("user", "u")),
    schema={"a": 1, "b": 2},
    choices=("A", "B"),
    template="extract/terse@1",
)


@pytest.mark.parametrize(
    "other",
    [
        replace(FULL, messages=(Message("system", "s"), Message("user", "v"))),
        replace(FULL, messages=(Message("user", "s"), Message("user", "u"))),
        replace(FULL, messages=(Message("system", "su"), Message("user", ""))),
        replace(FULL, schema=None),
        replace(FULL, schema={"a": 1, "b": 3}),
        replace(FULL, schema={"b": 2, "a": 1}),
        replace(FULL, choices=()),
        replace(FULL, choices=("B", "A")),
        replace(FULL, choices=("AB",)),
        replace(FULL, max_tokens=255),
        replace(FULL, temperature=0.1),
        replace(FULL, top_p=0.9),
        replace(FULL, seed=1),
        replace(FULL, completion=True),
    ],
)
def test_the_key_covers_all_that_is_sent(other: ChatRequest) -> None:
    key = request_key(FULL, "echo", "m", "1")
    assert len(key) == 64
    assert request_key(replace(FULL), "echo", "m", "1") == key
    assert request_key(other, "echo", "m", "1") != key


def test_a_comment_in_the_template_is_not_a_new_request() -> None:
    other = replace(FULL, template="extract/terse@2")
    assert request_key(other, "echo", "m", "1") == request_key(FULL, "echo", "m", "1")


def test_the_key_covers_who_answers() -> None:
    identities = ["amr", "Amr", "aMr", "amR"]  # origin, model, revision
    assert len({request_key(FULL, *identity) for identity in identities}) == 4
    assert request_key(ask("\ud800\x00\U0001f600"), *"amr")


def test_a_reply_is_served_for_the_engine_that_gave_it_and_no_other(tmp_path: Path) -> None:
    inner = [
        EchoEngine(),
        EchoEngine(),
        *(EchoEngine(*other) for other in ("nr", "m2", ("m", "1", "http://b"))),
    ]
    for one in inner:
        engine = CachedEngine(one, tmp_path / "cache")
        engine.chat([ask("a")])
        engine.close()
    assert [one.asked for one in inner] == [["a"], [], ["a"], ["a"], ["a"]]


@pytest.mark.parametrize(
    "reply",
    [
        ChatReply(failure=Failure(State.ENGINE_ERROR, "HTTP 500")),
        ChatReply("{", None, Usage(1, 1), "stop", Failure(State.INVALID_OUTPUT, "reply is not JSON")),
        ChatReply("cut off", None, Usage(1, 1), "length"),
        ChatReply("", None, Usage(1, 1), "stop"),
        ChatReply(" \n", None, Usage(1, 1), "stop"),
    ],
    ids=["engine error", "invalid", "truncated", "empty", "blank"],
)
def test_bad_replies_are_never_stored(tmp_path: Path, reply: ChatReply) -> None:
    inner = EchoEngine()
    inner.replies = {"q": reply}
    engine = CachedEngine(inner, tmp_path / "cache")
    assert engine.chat([ask("q")]) == [reply]
    assert engine.chat([ask("q")]) == [reply]
    assert inner.asked == ["q", "q"]
    inner.replies = {}
    assert [r.text for r in engine.chat([ask("q")]) + engine.chat([ask("q")])] == ["q", "q"]
    assert inner.asked == ["q", "q", "q"]
    engine.close()


class LostEngine(EchoEngine):
    """An engine whose server cannot be reached."""

    @property
    def revision(self) -> str:
        raise AmeliError("no server")

    @revision.setter
    def revision(self, value: str) -> None:
        pass


def test_an_engine_that_cannot_name_its_model_is_not_cached(tmp_path: Path) -> None:
    inner = LostEngine()
    engine = CachedEngine(inner, tmp_path / "cache")
    assert [reply.text for reply in engine.chat([ask("a")]) + engine.chat([ask("a")])] == ["a", "a"]
    assert inner.asked == ["a", "a"]
    engine.close()


def test_threads_share_it(tmp_path: Path) -> None:
    inner = EchoEngine()
    engine = CachedEngine(inner, tmp_path / "cache")
    requests = [ask(str(number % 20)) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda request: engine.chat([request])[0].text, requests))
    assert replies == [str(number % 20) for number in range(200)]
    assert engine.hits + engine.misses == 200
    assert engine.misses == len(inner.asked)
    engine.close()


def rows(path: Path) -> int:
    database = sqlite3.connect(path)
    (count,) = database.execute("SELECT count(*) FROM texts").fetchone()
    database.close()
    return int(count)


@pytest.mark.parametrize("content", [b"this is no database " * 400, b"\x00" * 8192])
def test_a_damaged_file_is_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "cache"
    path.write_bytes(content)
    (tmp_path / "cache.damaged-1").write_bytes(b"an older one")
    inner = EchoEngine()
    engine = CachedEngine(inner, path)
    engine.chat([ask("a")])
    engine.chat([ask("a")])
    engine.close()
    assert inner.asked == ["a"]
    assert (tmp_path / "cache.damaged-2").read_bytes() == content
    assert rows(path) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"Cache {path} is damaged (file is not a database): moved to cache.damaged-2."
    ]


def test_damage_in_the_middle_of_the_file_is_found_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache"
    requests = [ask(f"{number} " + "x" * 500) for number in range(200)]
    engine = CachedEngine(EchoEngine(), path)
    engine.chat(requests)
    engine.close()
    content = bytearray(path.read_bytes())
    assert len(content) > 20 * 4096
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    inner = EchoEngine()
    engine = CachedEngine(inner, path)
    assert [reply.text for reply in engine.chat(requests)] == [r.messages[0].content for r in requests]
    assert len(inner.asked) == 200
    engine.chat(requests)
    engine.close()
    assert len(inner.asked) == 200
    assert rows(path) == 200
    assert [record.getMessage() for record in caplog.records] == [
        f"Cache {path} is damaged (database disk image is malformed): moved to cache.damaged-1."
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        '{"text": "", "choice_logprobs": null, "usage": [1, 1, 0], "finish_reason": "stop"}',
        '{"text": "x", "choice_logprobs": null, "usage": [1, 1], "finish_reason": "stop"}',
        '{"text": "x", "choice_logprobs": {"A": "many"}, "usage": [1, 1, 0], "finish_reason": "stop"}',
    ],
)
def test_an_entry_that_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cache"
    inner = EchoEngine()
    engine = CachedEngine(inner, path)
    engine.chat([ask("a")])
    with sqlite3.connect(path) as database:
        ((key,),) = database.execute("SELECT key FROM texts")
        database.execute("UPDATE texts SET value = ?, checksum = ?", (text, checksum_of(key, text)))
    database.close()
    assert [engine.chat([ask("a")])[0].text for _ in range(2)] == ["a", "a"]
    assert inner.asked == ["a", "a"]
    engine.close()


@pytest.mark.parametrize("place", ["folder", "below a file"])
def test_a_place_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    inner = EchoEngine()
    engine = CachedEngine(inner, tmp_path / "folder" if place == "folder" else tmp_path / "file" / "cache")
    assert [reply.text for reply in engine.chat([ask("a")]) + engine.chat([ask("a")])] == ["a", "a"]
    engine.close()
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    assert "cannot be used" in caplog.text
    assert "going on without it" in caplog.text

"""What the engine "openai" sends to servers of every ability, and which replies it takes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.engines.cache import CachedEngine
from ameli_llm.engines.engine import ChatReply
from ameli_llm.errors import AmeliError
from ameli_llm.types import State, Usage
from tests.engines.asking import ask, failed
from tests.engines.hostile import head, hostile, whole
from tests.engines.openai_servers import able, chat_only, engine
from tests.engines.scripted import Answer, ScriptedServer, said, scripted

SCHEMA = {"type": "object", "properties": {"state": {"type": "string", "enum": ["ready"]}}}
CHAT = {
    "model": "tiny",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}],
    "max_tokens": 256,
    "temperature": 0.0,
    "top_p": 1.0,
    "seed": 0,
}
PROMPT = {name: value for name, value in CHAT.items() if name != "messages"} | {"prompt": "Hello."}
HELD = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": SCHEMA, "strict": False},
    }
}
Say = Callable[..., ChatReply]
AB: dict[str, Any] = {"choices": ("A", "B")}
JSON: dict[str, Any] = {"schema": SCHEMA}


@pytest.mark.parametrize(
    ("options", "path", "with_all", "with_none"),
    [
        ({}, "/v1/chat/completions", CHAT, CHAT),
        (
            {"seed": 7, "temperature": 0.5, "top_p": 0.9, "max_tokens": 12},
            "/v1/chat/completions",
            CHAT | {"seed": 7, "temperature": 0.5, "top_p": 0.9, "max_tokens": 12},
            CHAT | {"seed": 7, "temperature": 0.5, "top_p": 0.9, "max_tokens": 12},
        ),
        (JSON, "/v1/chat/completions", CHAT | HELD, CHAT),
        (
            AB,
            "/v1/chat/completions",
            CHAT | {"max_tokens": 1, "logprobs": True, "top_logprobs": 20},
            CHAT | {"max_tokens": 8},
        ),
        ({"completion": True}, "/v1/completions", PROMPT, None),
        ({"completion": True} | AB, "/v1/completions", PROMPT | {"max_tokens": 8}, None),
        ({"completion": True} | JSON, "/v1/completions", PROMPT, None),
    ],
    ids=["plain", "sampling", "schema", "choices", "completion", "completion, choices", "completion, schema"],
)
def test_what_is_sent(
    scripted_server: ScriptedServer,
    options: dict[str, Any],
    path: str,
    with_all: dict[str, Any],
    with_none: dict[str, Any] | None,
) -> None:
    for server, body in ((able(), with_all), (chat_only(), with_none)):
        scripted_server.answers = [server]
        with engine(scripted_server.base_url) as asked:
            _ = asked.revision
            scripted_server.posts.clear()
            (reply,) = asked.chat([ask(**options)])
            if body:
                assert asked.longest_reply(ask(**options)) == body["max_tokens"]
        assert scripted_server.posts == ([(path, body)] if body else [])
        if body is None:
            assert failed(reply)[0] is State.ENGINE_ERROR
            assert failed(reply)[1].endswith(f"{scripted_server.base_url} has no /completions.")


@contextmanager
def asked_all_along(able_to: Callable[[Any], Any]) -> Iterator[Say]:
    """One server and one engine for many questions, each with the answer that it is to get."""
    with scripted() as server:
        server.answers = [able_to(said("hello"))]
        with engine(server.base_url) as asked:
            _ = asked.revision

            def say(answer: Answer, **options: Any) -> ChatReply:
                server.answers = [answer]
                return asked.chat([ask(**options)])[0]

            yield say


@pytest.fixture(scope="module")
def full() -> Iterator[Say]:
    """Asks a server that can do everything."""
    with asked_all_along(able) as say:
        yield say


@pytest.fixture(scope="module")
def plain() -> Iterator[Say]:
    """Asks a server that can do nothing but chat."""
    with asked_all_along(chat_only) as say:
        yield say


READY = '{"state": "ready"}'


@pytest.mark.parametrize(
    ("said_", "read"),
    [
        (READY, READY),
        (f"```json\n{READY}\n```", READY),
        (f"Sure! Here it is:\n{READY}\nAnything else?", READY),
        (f"Set {{1, 2}} then {READY}", READY),
        ('{"a": {"b": [1, "}"]}} done', '{"a": {"b": [1, "}"]}}'),
        ('[{"state": "ready"}]', READY),
        ("{}", "{}"),
        ('x {"state": "a\x1bb"}', '{"state": "a\\u001bb"}'),
        ("{" * 30 + READY, READY),
    ],
)
def test_json_is_found_in_the_text(plain: Say, said_: str, read: str) -> None:
    reply = plain(said(said_), **JSON)
    assert (reply.text, reply.failure, reply.usage) == (read, None, Usage(7, 2, 4))


@pytest.mark.parametrize(
    ("said_", "problem"),
    [
        ("I cannot say.", "reply has no JSON object in it: 'I cannot say.'"),
        ("[1, 2]", "reply has no JSON object in it: '[1, 2]'"),
        ('{"state": ', "reply has no JSON object in it: '{\"state\": '"),
        (f"{READY} or {{}}", f"reply has 2 JSON objects in it: '{READY} or {{}}'"),
        ('{"a": NaN}', "reply has no JSON object in it: '{\"a\": NaN}'"),
        ("", "empty reply (finish reason 'stop')"),
        ('{"a":' * 10_000, "reply has no JSON object in it: '"),
        ("{" * 100_000, "reply has no JSON object in it: '"),
        ('{"a":' * 70 + "0" + "}" * 70, "reply has no JSON object in it: '"),
        ('{"a": ' + "9" * 5000 + "}", "reply has no JSON object in it: '"),
    ],
)
def test_no_json_or_several_is_a_failed_reply(plain: Say, said_: str, problem: str) -> None:
    reply = plain(said(said_), **JSON)
    state, message = failed(reply)
    assert state is State.INVALID_OUTPUT
    assert message.startswith(problem)
    assert len(message) <= 300


def test_a_server_that_keeps_to_schemas_says_nothing_but_json(full: Say) -> None:
    reply = full(said(f"Sure! {READY}"), **JSON)
    assert failed(reply) == (State.INVALID_OUTPUT, f"reply is not JSON: 'Sure! {READY}'")


@pytest.mark.parametrize("said_", ["A", " A\n", "A.", "**A**", '"A"', "(A)", "`A`", "A:"])
def test_a_choice_is_read_from_the_text(plain: Say, said_: str) -> None:
    reply = plain(said(said_, "length"), choices=("A", "B", "0"))
    assert (reply.text, reply.failure, reply.finish_reason) == ("A", None, "stop")
    assert reply.choice_logprobs == pytest.approx(
        {"A": math.log(0.9), "B": math.log(0.05), "0": math.log(0.05)}
    )


@pytest.mark.parametrize(
    "said_", ["C", "a", "A or B", "A good blender", "The answer is A", "AB", "A. A", "none", "**", None]
)
def test_a_choice_is_never_guessed(full: Say, plain: Say, said_: str | None) -> None:
    for say in (plain, full):
        reply = say(said(said_, The=-0.01, A=-5.5, B=-6.5), **AB, template="compare/x@1")
        assert failed(reply) == (
            State.INVALID_OUTPUT,
            f"template compare/x@1: reply {said_ or ''!r} is none of the choices",
        )
        assert reply.choice_logprobs is None


def tokens(*top: tuple[str, float], text: str) -> Answer:
    listed = [{"token": token, "logprob": value} for token, value in top]
    choice = {"message": {"content": text}, "logprobs": {"content": [{"top_logprobs": listed}]}}
    return Answer(body={"choices": [choice]})


def share(percent: float) -> float:
    return math.log(percent / 100)


@pytest.mark.parametrize(
    ("answer", "text", "shares"),
    [
        (tokens(("A", share(60)), ("B", share(20)), ("The", share(1)), text="A"), "A", [0.75, 0.25]),
        (tokens(("B", share(60)), ("A", share(20)), text="B"), "B", [0.25, 0.75]),
        (tokens(("A", share(30)), (" A", share(30)), ("B", share(20)), text=" A"), "A", [0.75, 0.25]),
        (tokens(("A", share(30)), ("A", share(30)), ("B.", share(20)), text="A"), "A", [0.75, 0.25]),
        (tokens((" B", share(75)), ("x", share(25)), text="B"), "B", [0.25, 0.75]),
        (tokens(("**", share(50)), ("B", share(15)), ("A", share(5)), text="**"), "B", [0.25, 0.75]),
    ],
    ids=["both", "order kept", "with a blank", "a token twice", "A is not listed", "another token first"],
)
def test_shares_of_the_choices(full: Say, answer: Answer, text: str, shares: list[float]) -> None:
    reply = full(answer, **AB)
    assert (reply.text, reply.failure) == (text, None)
    assert reply.choice_logprobs is not None
    assert list(reply.choice_logprobs) == ["A", "B"]
    assert [math.exp(value) for value in reply.choice_logprobs.values()] == pytest.approx(shares)


@pytest.mark.parametrize("answer", [said("A"), tokens(text="A")])
def test_log_probabilities_that_are_missing_later_fail_the_reply(full: Say, answer: Answer) -> None:
    reply = full(answer, **AB)
    message = "reply has no log-probabilities, and the server gave some before"
    assert failed(reply) == (State.INVALID_OUTPUT, message)


def test_completions_are_taken_as_they_are(full: Say) -> None:
    answer = Answer(body={"choices": [{"text": "B\n", "finish_reason": "length"}]})
    free = full(answer, completion=True)
    assert (free.text, free.failure) == ("B\n", None)
    chosen = full(answer, completion=True, **AB)
    assert (chosen.text, chosen.failure) == ("B", None)


def test_a_reply_of_one_way_is_not_served_for_the_other(
    scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    texts = []
    ways = [able(tokens(("A", -1.0), ("B", -2.0), text="A")), chat_only(said("B")), chat_only(said("A"))]
    for way in ways:
        scripted_server.answers = [way]
        with engine(scripted_server.base_url) as asked:
            cached = CachedEngine(asked, tmp_path / "cache")
            texts.append((cached.chat([ask(**AB)])[0].text, cached.hits))
            cached.close()
    assert texts == [("A", 0), ("B", 0), ("B", 1)]


def test_a_server_of_garbage_ends_the_canary_and_fails_replies() -> None:
    with hostile(lambda: [whole(b"\xff\x00{]garbage", Content_Type="application/json")]) as server:
        with engine(server.base_url, model="tiny") as asked:
            with pytest.raises(AmeliError, match="malformed reply to /chat/completions: Invalid JSON"):
                asked.canary()
            assert failed(asked.chat([ask()])[0])[0] is State.ENGINE_ERROR
        with engine(server.base_url) as asked, pytest.raises(AmeliError, match="malformed reply to /models"):
            asked.canary()


@pytest.mark.parametrize("model", ["tiny", ""])
def test_an_endless_answer_is_not_read(model: str) -> None:
    def endless() -> Any:
        return itertools.chain(
            [head(Content_Type="application/json")], itertools.repeat(b" " * 65536, 10_000)
        )

    with hostile(endless) as server, engine(server.base_url, model=model) as asked:
        with pytest.raises(AmeliError, match="the reply is larger than 2 MiB"):
            asked.canary()
        assert server.requests == ["GET /v1/models"]


def test_many_requests_at_once_and_in_order(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [able(lambda body: said(str(body["seed"])))]
    with engine(scripted_server.base_url, concurrency=4) as asked:
        replies = asked.chat([ask(seed=number) for number in range(30)])
        assert asked.workers == 4
    assert [reply.text for reply in replies] == [str(number) for number in range(30)]
    assert scripted_server.most_in_flight <= 4
    assert all(reply.seconds is not None for reply in replies)

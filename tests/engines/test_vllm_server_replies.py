"""What the protocol engine sends, and which replies of a scripted server it takes."""

from __future__ import annotations

from typing import Any

import pytest

from ameli_llm.engines.engine import ChatReply, ChatRequest, Message
from ameli_llm.types import State, Usage
from tests.engines.asking import ask, engine, failed
from tests.engines.scripted import Answer, ScriptedServer, said

SCHEMA = {"type": "object", "properties": {"state": {"type": "string", "enum": ["ready"]}}}


def test_a_plain_reply(scripted_server: ScriptedServer) -> None:
    with engine(scripted_server.base_url) as asked:
        assert asked.chat([ask()]) == [ChatReply("hello", None, Usage(7, 2, 4), "stop")]
        assert asked.chat([]) == []
        assert (asked.name, asked.model, asked.revision) == (
            "vllm_server",
            "tiny",
            "/models/tiny@vllm-0.32.0",
        )
        assert (asked.batch_size, asked.workers) == (1, 64)


SAMPLING = {"max_tokens": 256, "temperature": 0.0, "top_p": 1.0, "seed": 0}
PLAIN = {"model": "tiny", "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0} | SAMPLING
CHAT = PLAIN | {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}],
    "chat_template_kwargs": {"enable_thinking": False},
}


@pytest.mark.parametrize(
    ("request_", "path", "body"),
    [
        (ask(), "/v1/chat/completions", CHAT),
        (
            ask(seed=7, temperature=0.5, top_p=0.9, max_tokens=12),
            "/v1/chat/completions",
            CHAT | {"seed": 7, "temperature": 0.5, "top_p": 0.9, "max_tokens": 12},
        ),
        (
            ask(schema=SCHEMA),
            "/v1/chat/completions",
            CHAT
            | {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True},
                }
            },
        ),
        (
            ask(choices=("A", "B", "C")),
            "/v1/chat/completions",
            CHAT
            | {"structured_outputs": {"choice": ["A", "B", "C"]}, "max_tokens": 1}
            | {"logprobs": True, "top_logprobs": 6},
        ),
        (ask(completion=True), "/v1/completions", PLAIN | {"prompt": "Hello."}),
        (
            ask(completion=True, choices=("A", "B")),
            "/v1/completions",
            PLAIN
            | {"prompt": "Hello.", "structured_outputs": {"choice": ["A", "B"]}}
            | {"max_tokens": 1, "logprobs": 4},
        ),
    ],
    ids=["plain", "sampling", "schema", "choices", "completion", "completion with choices"],
)
def test_what_is_sent(
    scripted_server: ScriptedServer, request_: ChatRequest, path: str, body: dict[str, Any]
) -> None:
    with engine(scripted_server.base_url, model="tiny") as asked:
        asked.chat([request_])
    assert scripted_server.posts == [(path, body)]


@pytest.mark.parametrize(("count", "top"), [(2, 4), (10, 20), (15, 20), (20, 20), (26, 26)])
def test_top_logprobs_within_the_servers_limit(scripted_server: ScriptedServer, count: int, top: int) -> None:
    with engine(scripted_server.base_url) as asked:
        asked.chat([ask(choices=tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:count]))])
    assert scripted_server.posts[0][1]["top_logprobs"] == top


def test_choices_come_normalised(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [said("B", "length", B=-0.5, A=-0.5, C=-9999.0, D=-0.2)]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask(choices=("A", "B"))])
    assert (reply.text, reply.failure, reply.finish_reason) == ("B", None, "stop")
    assert reply.choice_logprobs == pytest.approx({"A": -0.693147, "B": -0.693147})


def test_choices_of_a_completion(scripted_server: ScriptedServer) -> None:
    logprobs = {"top_logprobs": [{"A": -1.0, "B": -1.0, " A": -0.1}]}
    scripted_server.answers = [
        Answer(body={"choices": [{"text": "A", "finish_reason": "length", "logprobs": logprobs}]})
    ]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask(completion=True, choices=("A", "B"))])
    assert (reply.text, reply.failure, reply.usage) == ("A", None, Usage())
    assert reply.choice_logprobs == pytest.approx({"A": -0.693147, "B": -0.693147})


INVALID = State.INVALID_OUTPUT
JSON = {"schema": SCHEMA}
AB = {"choices": ("A", "B"), "template": "compare/listwise@12ab"}


@pytest.mark.parametrize(
    ("options", "answer", "message"),
    [
        ({}, said(""), "empty reply (finish reason 'stop')"),
        ({}, said(None, "stop"), "empty reply (finish reason 'stop')"),
        ({}, said("  \n", "abort"), "empty reply (finish reason 'abort')"),
        ({}, said("well, ", "length"), "reply cut off at max_tokens=256"),
        (JSON, said('{"state": ', "length"), "reply cut off at max_tokens=256"),
        (JSON, said("{}" + " " * 254, "length"), "reply cut off at max_tokens=256"),
        (JSON, said("Sure! {}"), "reply is not JSON: 'Sure! {}'"),
        (JSON, said('"ready"'), "reply is not JSON: '\"ready\"'"),
        (JSON, said("[" * 100_000), f"reply is not JSON: '{'[' * 277}..."),
        (AB, said("C", A=-1.0, B=-2.0), "template compare/listwise@12ab: reply 'C' is none of the choices"),
        (
            AB,
            said("A", "length", A=-1.0),
            "template compare/listwise@12ab: choice 'B' is not one token of the model; use one-letter labels",
        ),
        (
            AB,
            said("A"),
            "template compare/listwise@12ab: reply has no log-probabilities; "
            "choices need an engine that gives them",
        ),
    ],
)
def test_replies_outside_the_constraint_are_invalid_and_not_asked_again(
    scripted_server: ScriptedServer, options: dict[str, Any], answer: Answer, message: str
) -> None:
    scripted_server.answers = [answer]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask(**options)])
    assert failed(reply) == (INVALID, message)
    assert reply.usage == Usage(7, 2, 4)
    assert reply.choice_logprobs is None
    assert len(scripted_server.posts) == 1


def test_control_characters_in_json_strings_are_escaped(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [said('{"state": "a\x1bb\u00e9"}')]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask(schema=SCHEMA)])
    assert (reply.text, reply.failure) == ('{"state": "a\\u001bb\u00e9"}', None)


def test_text_that_is_no_unicode_is_sent_with_replacements(scripted_server: ScriptedServer) -> None:
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ChatRequest((Message("user", "a\ud800b\x00\u202e"),))])
    assert reply.failure is None
    assert scripted_server.posts[0][1]["messages"][0]["content"] == "a?b\x00\u202e"


def test_a_request_that_cannot_be_sent_fails_alone(scripted_server: ScriptedServer) -> None:
    with engine(scripted_server.base_url) as asked:
        bad, good = asked.chat([ask(schema={"enum": [{1, 2}]}), ask()])
    assert failed(bad)[0] is State.ENGINE_ERROR
    assert failed(bad)[1].startswith("request not sent: TypeError: ")
    assert good.text == "hello"


def test_key_from_the_environment(scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sesame")
    with engine(scripted_server.base_url) as asked:
        asked.chat([ask()])
    assert scripted_server.authorization == "Bearer sesame"

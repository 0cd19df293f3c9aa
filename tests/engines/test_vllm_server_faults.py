"""The protocol engine against a scripted server: exact outcomes and numbers of attempts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines._retry import Breaker, RetryPolicy, ServerDownError
from ameli_llm.engines.engine import ChatReply, ChatRequest, Message
from ameli_llm.engines.vllm_server import VllmServer, create
from ameli_llm.errors import AmeliError
from ameli_llm.types import Failure, State, Usage
from tests.engines.scripted import Answer, ScriptedServer, said, scripted

SCHEMA = {"type": "object", "properties": {"state": {"type": "string", "enum": ["ready"]}}}
QUICK = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02, longest_retry_after=0.1, refusals=1000)
ERROR = Answer(500, {"error": {"message": "out of\nmemory", "type": "InternalServerError", "code": 500}})
BUSY = Answer(429, {"error": {"message": "too many requests"}})


def ask(**options: Any) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", "Hello.")), **options)


@contextmanager
def engine(base_url: str, policy: RetryPolicy = QUICK, **options: Any) -> Iterator[VllmServer]:
    config = EngineConfig(name="vllm_server", base_url=base_url, **({"timeout": 5.0} | options))
    server = VllmServer(config, policy)
    try:
        yield server
    finally:
        server.close()


def failed(reply: ChatReply) -> tuple[State, str]:
    assert reply.failure is not None, reply
    return reply.failure.state, reply.failure.message


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
            "template compare/listwise@12ab: choice 'A' is not one token of the model; use one-letter labels",
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


HELLO = said("hello")
MALFORMED = "malformed reply to /chat/completions: "


@pytest.mark.parametrize(
    ("answers", "attempts", "problem"),
    [
        ([BUSY, HELLO], 2, None),
        ([ERROR, ERROR, HELLO], 3, None),
        ([Answer(503, "<html>starting</html>", {"Content-Type": "text/html"}), HELLO], 2, None),
        ([Answer(body="{}", cut=0), HELLO], 2, None),
        ([Answer(body={"choices": []} | {"x": "y" * 500}, cut=100), HELLO], 2, None),
        ([BUSY], 3, "HTTP 429: too many requests (3 attempts)"),
        ([ERROR], 3, "HTTP 500: out of memory (3 attempts)"),
        ([Answer(502, "", {"Content-Type": "text/plain"})], 3, "HTTP 502: Bad Gateway (3 attempts)"),
        ([Answer(504)], 3, "HTTP 504: Gateway Timeout (3 attempts)"),
        ([Answer(body="{}", cut=0)], 3, "connection cut (3 attempts)"),
        ([Answer(400, {"error": {"message": "bad schema"}})], 1, "HTTP 400: bad schema (1 attempt)"),
        ([Answer(401, {"error": "Unauthorized"})], 1, "HTTP 401: Unauthorized (1 attempt)"),
        ([Answer(404, {"detail": "Not Found"})], 1, "HTTP 404: Not Found (1 attempt)"),
        ([Answer(422, {"detail": "no"})], 1, "HTTP 422: no (1 attempt)"),
        ([Answer(body='{"choices": [')], 1, MALFORMED + "Invalid JSON: EOF while parsing a list at line 1 "),
        ([Answer(body="<html>", headers={"Content-Type": "text/html"})], 1, MALFORMED + "Invalid JSON: "),
        ([Answer(body={"choices": []})], 1, MALFORMED + "choices: List should have at least 1 item "),
        (
            [Answer(body={"choices": [{"message": "hi"}]})],
            1,
            MALFORMED + "choices.0.message: Input should be ",
        ),
        ([Answer(body={"error": "x" * 1000})], 1, MALFORMED + "choices: Field required"),
        (
            [Answer(body='{"choices": [{"message": {"content": "\\ud800"}}]}')],
            1,
            MALFORMED + "Invalid JSON: ",
        ),
    ],
)
def test_faults_of_the_server(
    scripted_server: ScriptedServer, answers: list[Answer], attempts: int, problem: str | None
) -> None:
    scripted_server.answers = list(answers)
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask()])
    if problem is None:
        assert (reply.text, reply.failure) == ("hello", None)
    else:
        state, message = failed(reply)
        assert state is State.ENGINE_ERROR
        assert message.startswith(f"{scripted_server.base_url}: {problem}")
        assert "\n" not in message
        assert len(message) <= 300
    assert len(scripted_server.posts) == attempts


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("0.08", 0.08, 2.0),
        ("3600", 0.1, 2.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, 2.0),
        ("soon", 0.0, 2.0),
    ],
    ids=["honoured", "bounded", "date that is past", "nonsense"],
)
def test_retry_after(scripted_server: ScriptedServer, value: str, least: float, most: float) -> None:
    scripted_server.answers = [Answer(429, headers={"Retry-After": value}), HELLO]
    with engine(scripted_server.base_url, model="tiny") as asked:
        started = time.monotonic()
        (reply,) = asked.chat([ask()])
    assert reply.failure is None
    assert least <= time.monotonic() - started < most


def test_a_hanging_server_costs_the_time_out_and_no_more(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [Answer(seconds=30.0)]
    with engine(scripted_server.base_url, model="tiny", timeout=0.2) as asked:
        started = time.monotonic()
        (reply,) = asked.chat([ask()])
        seconds = time.monotonic() - started
    assert failed(reply) == (
        State.ENGINE_ERROR,
        f"{scripted_server.base_url}: no answer within the time-out (3 attempts)",
    )
    assert len(scripted_server.posts) == 3
    assert 0.6 <= seconds < 5


def test_nobody_listens(free_port: int) -> None:
    address = f"http://127.0.0.1:{free_port}/v1"
    with engine(address) as asked:
        replies = asked.chat([ask(), ask()])
        refused = f"{address}: connection refused (3 attempts)"
        assert [failed(reply) for reply in replies] == [(State.ENGINE_ERROR, refused)] * 2
        with pytest.raises(AmeliError, match=r"connection refused .* Start one with `vllm serve MODEL`"):
            asked.canary()
        with pytest.raises(AmeliError, match="connection refused"):
            _ = asked.revision


def test_requests_fail_at_once_when_the_server_is_down_and_resume_when_it_is_back(free_port: int) -> None:
    policy = RetryPolicy(attempts=2, first_wait=0.01, refusals=4, cooldown=1.0)
    address = f"http://127.0.0.1:{free_port}/v1"
    with engine(address, policy, model="tiny") as asked:
        first = [failed(asked.chat([ask()])[0])[1] for _ in range(2)]
        started = time.monotonic()
        later = {failed(reply)[1] for reply in asked.chat([ask()] * 500)}
        seconds = time.monotonic() - started
        with scripted(free_port) as server:
            time.sleep(1.05)
            assert [reply.text for reply in asked.chat([ask()])] == ["hello"]
            assert [reply.text for reply in asked.chat([ask()] * 3)] == ["hello"] * 3
            assert len(server.posts) == 4
    assert first == [f"{address}: connection refused (2 attempts)"] * 2
    assert later == {f"{address}: the last 4 attempts found no server; not asked again yet"}
    assert seconds < 1.0, "500 requests without asking anyone"


def status(code: int) -> Exception:
    http = openai.APIStatusError.__new__(openai.APIStatusError)
    http.status_code = code
    return http


@pytest.mark.parametrize(
    ("outcomes", "is_open"),
    [
        ([], False),
        ([TimeoutError()] * 2, False),
        ([TimeoutError()] * 3, True),
        ([TimeoutError(), TimeoutError(), None, TimeoutError()], False),
        ([TimeoutError(), TimeoutError(), status(500), TimeoutError()], False),
        ([TimeoutError(), TimeoutError(), ValueError(), TimeoutError()], True),
    ],
    ids=[
        "new",
        "two",
        "three in a row",
        "an answer between",
        "an error status between",
        "a bad reply between",
    ],
)
def test_circuit_breaker(outcomes: list[BaseException | None], is_open: bool) -> None:
    now = [100.0]
    breaker = Breaker(RetryPolicy(refusals=3, cooldown=10.0), clock=lambda: now[0])
    for outcome in outcomes:
        breaker.record(outcome)
    if not is_open:
        breaker.check()
        return
    with pytest.raises(ServerDownError):
        breaker.check()
    now[0] += 10.0
    breaker.check()  # the one trial
    with pytest.raises(ServerDownError):
        breaker.check()
    breaker.record(None)
    breaker.check()


def test_replies_come_in_order_with_bounded_concurrency(scripted_server: ScriptedServer) -> None:
    def echo(body: dict[str, Any]) -> Answer:
        answer = said(body["messages"][-1]["content"])
        return Answer(body=answer.body, seconds=0.02)

    scripted_server.answers = [echo]
    requests = [ChatRequest((Message("user", str(number)),)) for number in range(24)]
    with engine(scripted_server.base_url, concurrency=4) as asked, ThreadPoolExecutor(6) as pool:
        halves = list(pool.map(asked.chat, [requests[:12], requests[12:]]))
        singles = list(pool.map(lambda request: asked.chat([request])[0].text, requests))
    assert [reply.text for half in halves for reply in half] == [str(number) for number in range(24)]
    assert singles == [str(number) for number in range(24)]
    assert scripted_server.most_in_flight == 4


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


def models(*names: str) -> Answer:
    return Answer(body={"data": [{"id": name} for name in names]})


@pytest.mark.parametrize(
    ("served", "model", "message"),
    [
        (models("a", "b"), "", "has 2 models. Set engine.model to one of: a, b."),
        (models(), "", "has 0 models. Set engine.model to one of: none."),
        (
            models("a"),
            "c",
            "has no model 'c'. It serves: a. Set engine.model to one of them, or leave it empty.",
        ),
        (Answer(404, {"detail": "Not Found"}), "", "HTTP 404: Not Found (1 attempt) Start one with"),
        (Answer(body="[]"), "", "malformed reply to /models: Input should be an object Start one with"),
    ],
)
def test_models_of_the_server(
    scripted_server: ScriptedServer, served: Answer, model: str, message: str
) -> None:
    scripted_server.models = served
    with engine(scripted_server.base_url, model=model) as asked, pytest.raises(AmeliError) as raised:
        asked.canary()
    assert message in str(raised.value)
    assert scripted_server.base_url in str(raised.value)


def test_a_server_without_a_version_is_still_served(scripted_server: ScriptedServer) -> None:
    scripted_server.version = Answer(404, {"detail": "Not Found"})
    scripted_server.models = models("tiny")
    with engine(scripted_server.base_url) as asked:
        assert asked.revision == "tiny@unknown server"
        assert asked.model == "tiny"
    assert scripted_server.gets == ["/v1/models", "/version"]


CHOICE = said("A", A=-0.1, B=-3.0)


@pytest.mark.parametrize(
    ("choice", "schema", "message"),
    [
        (CHOICE, said('{"state": "ready"}'), None),
        (said("A"), said('{"state": "ready"}'), "failed the choice test: choice 'A' is not one token"),
        (
            CHOICE,
            said('{"state": "   ', "length"),
            "failed the JSON schema test: reply cut off at max_tokens=64",
        ),
        (CHOICE, said('{"state": "set"}'), 'does not keep to a JSON schema: it said \'{"state": "set"}\''),
        (Answer(400, {"error": {"message": "logprobs are off"}}), said("{}"), "HTTP 400: logprobs are off"),
    ],
)
def test_canary(scripted_server: ScriptedServer, choice: Answer, schema: Answer, message: str | None) -> None:
    scripted_server.answers = [lambda body: choice if "structured_outputs" in body else schema]
    with engine(scripted_server.base_url) as asked:
        if message is None:
            asked.canary()
            return
        with pytest.raises(AmeliError) as raised:
            asked.canary()
    assert str(raised.value).startswith(f"The server at {scripted_server.base_url} ")
    assert message in str(raised.value)
    assert "--structured-outputs-config.disable_any_whitespace true" in raised.value.hint


@pytest.mark.parametrize("address", ["127.0.0.1:8000/v1", "", "file:///etc/passwd"])
def test_base_url_must_be_an_address(address: str) -> None:
    with pytest.raises(AmeliError, match=r"^engine.base_url is '.*', no address of a server\."):
        create(EngineConfig(name="vllm_server", base_url=address))


def test_close_ends_requests_in_flight(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [Answer(seconds=30.0)]
    with engine(scripted_server.base_url, model="tiny", timeout=30.0) as asked:
        replies: list[ChatReply] = []
        waiting = threading.Thread(target=lambda: replies.extend(asked.chat([ask(), ask()])))
        waiting.start()
        wait_for(lambda: len(scripted_server.posts) == 2)
        asked.close()
        waiting.join(5)
        assert [reply.failure for reply in replies] == [
            Failure(State.ENGINE_ERROR, "The engine vllm_server was closed before the answer came.")
        ] * 2
        assert failed(asked.chat([ask()])[0])[1] == "The engine vllm_server is closed."
        asked.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()

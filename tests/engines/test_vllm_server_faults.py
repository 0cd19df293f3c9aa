"""The protocol engine against the faults of a scripted server: outcomes, and numbers of attempts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from ameli_llm.engines._retry import Breaker, RetryPolicy, ServerDownError
from ameli_llm.engines.engine import ChatReply, ChatRequest, Message
from ameli_llm.errors import AmeliError
from ameli_llm.types import Failure, State
from tests.engines.asking import ask, engine, failed
from tests.engines.scripted import Answer, ScriptedServer, said, scripted

ERROR = Answer(500, {"error": {"message": "out of\nmemory", "type": "InternalServerError", "code": 500}})
BUSY = Answer(429, {"error": {"message": "too many requests"}})

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

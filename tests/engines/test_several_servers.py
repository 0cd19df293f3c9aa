"""Several servers of one model: who is asked, who is left out, and who comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ameli_llm.config import EngineConfig, RunConfig, override
from ameli_llm.engines._retry import RetryPolicy
from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.errors import AmeliError
from tests.engines.asking import engine, failed
from tests.engines.scripted import Answer, ScriptedServer, said, scripted

IMPATIENT = RetryPolicy(attempts=2, first_wait=0.01, longest_wait=0.01, refusals=2, cooldown=0.05)
PATIENT = RetryPolicy(attempts=2, first_wait=60.0, longest_wait=60.0)


@pytest.fixture
def servers() -> Iterator[list[ScriptedServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(scripted()) for _ in range(3)]


def addresses(servers: list[ScriptedServer]) -> tuple[str, ...]:
    return tuple(server.base_url for server in servers)


def ask(text: str) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", text)))


def counts(servers: list[ScriptedServer]) -> list[int]:
    return [len(server.posts) for server in servers]


def test_load_is_spread(servers: list[ScriptedServer]) -> None:
    for server in servers:
        server.answers = [Answer(body=said("hello").body, seconds=0.7)]  # none before all were sent
    with engine(addresses(servers), concurrency=10) as asked:
        assert (asked.workers, asked.model) == (30, "tiny")
        replies = asked.chat([ask("the same beginning")] * 18)
    assert [reply.text for reply in replies] == ["hello"] * 18
    assert max(counts(servers)) - min(counts(servers)) <= 4, counts(servers)


def test_prompts_that_begin_alike_go_to_one_server(servers: list[ScriptedServer]) -> None:
    beginnings = [f"{number} shirts " * 60 for number in range(8)]
    with engine(addresses(servers)) as asked:
        taken = []
        for beginning in beginnings:
            before = counts(servers)
            for end in "abc\ud800":
                assert asked.chat([ask(beginning + end)])[0].failure is None
            taken.append(tuple(new - old for new, old in zip(counts(servers), before, strict=True)))
    assert {tuple(sorted(one)) for one in taken} == {(0, 0, 4)}
    assert len(set(taken)) > 1, "and not all to the same"


def test_one_that_dies_is_left_out_and_comes_back(servers: list[ScriptedServer]) -> None:
    second = servers[1]
    texts = [ask(f"{number}") for number in range(12)]
    with engine(addresses(servers), policy=IMPATIENT) as asked:
        assert asked.model == "tiny"
        second.stop()
        for _ in range(3):
            assert {reply.text for reply in asked.chat(texts)} == {"hello"}
        assert sum(counts(servers)) == 36
        with scripted(port=second.port) as back:
            while not back.posts:
                assert {reply.text for reply in asked.chat(texts)} == {"hello"}


def test_one_that_is_not_there_at_the_start_is_left_out(servers: list[ScriptedServer]) -> None:
    servers[0].stop()
    with engine(addresses(servers), policy=IMPATIENT) as asked:
        assert (asked.model, asked.revision) == ("tiny", "/models/tiny@vllm-0.32.0")
        assert {reply.text for reply in asked.chat([ask(f"{number}") for number in range(9)])} == {"hello"}


@pytest.mark.parametrize("fault", [Answer(429, headers={"Retry-After": "30"}), Answer(503), Answer(cut=0)])
def test_another_is_asked_at_once(servers: list[ScriptedServer], fault: Answer) -> None:
    for server in servers[:2]:
        server.answers = [fault]
    with engine(addresses(servers), policy=PATIENT) as asked:
        assert {reply.text for reply in asked.chat([ask(f"{number}") for number in range(6)])} == {"hello"}
    assert counts(servers)[2] == 6


def other_model(server: ScriptedServer) -> None:
    server.models = Answer(body={"data": [{"id": "small", "root": "/models/small"}]})


def other_version(server: ScriptedServer) -> None:
    server.version = Answer(body={"version": "0.31.0"})


@pytest.mark.parametrize("change", [other_model, other_version])
def test_servers_of_different_things_are_refused(
    servers: list[ScriptedServer], change: Callable[[ScriptedServer], None]
) -> None:
    change(servers[1])
    with engine(addresses(servers)) as asked:
        with pytest.raises(AmeliError, match=rf"127\.0\.0\.1:{servers[1].port}/v1"):
            asked.canary()
        assert "serves" in failed(asked.chat([ask("x")])[0])[1]


def test_none_is_there(servers: list[ScriptedServer]) -> None:
    for server in servers:
        server.stop()
    with engine(addresses(servers), policy=IMPATIENT) as asked:
        with pytest.raises(AmeliError, match="connection refused"):
            asked.canary()
        for _ in range(4):
            (reply,) = asked.chat([ask("x")])
        assert "none of the 3 servers was there lately" in failed(reply)[1] or "no server" in failed(reply)[1]


def test_the_order_of_the_addresses_does_not_matter(servers: list[ScriptedServer]) -> None:
    with engine(addresses(servers)) as one, engine(addresses(servers[::-1])) as other:
        assert one.origin == other.origin == " ".join(sorted(addresses(servers)))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[]", "an empty list of servers"),
        ("[http://a/v1, 'http://A:80/v1/']", "one server twice"),
        ("[http://a/v1, 'http://me:secret@b/v1']", "a user or password in an address"),
        ("[http://a/v1, 5]", "valid string"),
    ],
)
def test_addresses_that_are_refused(value: str, problem: str) -> None:
    with pytest.raises(AmeliError, match=problem) as refused:
        override(RunConfig(), [f"engine.base_url={value}"])
    assert "secret" not in str(refused.value)


def test_one_address_may_stand_alone_or_in_a_list() -> None:
    assert EngineConfig(base_url="http://a/v1").addresses == EngineConfig(base_url=["http://a/v1"]).addresses  # type: ignore[arg-type]

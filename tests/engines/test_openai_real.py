"""The engine "openai" against a real vLLM server: choices and JSON are those of "vllm_server"."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines import ENGINES
from ameli_llm.engines.openai import OpenAIServer, create
from ameli_llm.engines.vllm_server import VllmServer
from ameli_llm.templates.front import ReplySchema
from ameli_llm.templates.schema import reply_schema
from ameli_llm.types import State
from tests.engines.test_vllm_server_real import SCHEMA, ask
from tests.plugin_vllm import RunningServer

LETTERS = string.ascii_uppercase[:14]


def asks_for(letter: str) -> str:
    """What the model answers with that letter, mostly."""
    return f"Answer with one letter. Answer: {letter}. Answer:"


@pytest.fixture(scope="module")
def engine(vllm_server: RunningServer) -> Iterator[OpenAIServer]:
    served = create(EngineConfig(name="openai", base_url=vllm_server.base_url, concurrency=16))
    yield served
    served.close()


@pytest.fixture(scope="module")
def held(vllm_server: RunningServer) -> Iterator[VllmServer]:
    """The engine that holds the model to the choices."""
    config = EngineConfig(name="vllm_server", base_url=vllm_server.base_url)
    served: VllmServer = ENGINES.load("vllm_server")(config)
    yield served
    served.close()


def test_the_server_lacks_nothing(
    engine: OpenAIServer, smollm2_ameli: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine.canary()
    assert engine.model == "served"
    assert engine.revision == f"{smollm2_ameli.name}@openai+json_schema+logprobs+completions"
    assert not [line for line in caplog.messages if line.startswith("The server")]


def test_the_same_json(engine: OpenAIServer, held: VllmServer) -> None:
    sent = reply_schema(
        ReplySchema(form="quoted", keys=3, quote=12),
        {"Color": ["Red", "Blue"], "Capacity": ["512 gigabytes", "1 terabyte"]},
        max_tokens=200,
    )
    requests = [
        ask(f"The red one. Review {at}.", schema=schema) for at in range(6) for schema in (SCHEMA, sent)
    ]
    free, same = engine.chat(requests), held.chat(requests)
    assert [reply.failure for reply in free] == [None] * 12
    assert [json.loads(reply.text) for reply in free] == [json.loads(reply.text) for reply in same]


def test_the_same_choices(engine: OpenAIServer, held: VllmServer) -> None:
    """Nothing holds the model to a letter here: it has to be asked for one."""
    requests = [ask(asks_for(one) * times, choices=tuple(LETTERS)) for one in LETTERS for times in (1, 2)]
    pairs = list(zip(engine.chat(requests), held.chat(requests), strict=True))
    chosen = [(free, same) for free, same in pairs if free.failure is None]
    assert len(chosen) > 20
    assert [free.text for free, _ in chosen] == [same.text for _, same in chosen]
    assert len({free.text for free, _ in chosen}) > 1, "the answer depends on the question"
    for free, same in chosen:
        assert free.choice_logprobs is not None
        assert tuple(free.choice_logprobs) == tuple(same.choice_logprobs or ())
        assert math.fsum(map(math.exp, free.choice_logprobs.values())) == pytest.approx(1.0)
        assert free.text == max(free.choice_logprobs, key=free.choice_logprobs.__getitem__)
        assert free.usage.completion == 1
    for free, _ in pairs:
        assert free.failure is None or free.failure.state is State.INVALID_OUTPUT


def test_more_choices_than_log_probabilities(engine: OpenAIServer) -> None:
    (reply,) = engine.chat([ask(asks_for("A"), choices=tuple(string.ascii_letters))])
    assert reply.failure is None
    assert len(reply.choice_logprobs or {}) == 52


def test_completions_and_the_context(engine: OpenAIServer, held: VllmServer) -> None:
    request = ask("Color:", completion=True, max_tokens=5)
    assert engine.chat([request])[0].text == held.chat([request])[0].text
    short, long = engine.excess([ask("x"), ask("word " * 5000)])
    assert short == 0
    assert long >= held.excess([ask("word " * 5000)])[0] > 0
    (reply,) = engine.chat([ask("word " * 5000)])
    assert reply.failure is not None
    assert "maximum context length is 4096 tokens" in reply.failure.message

"""How the tests ask a scripted server: a request, an engine with quick retries, what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines._asking import ServerEngine
from ameli_llm.engines._retry import RetryPolicy
from ameli_llm.engines.engine import ChatReply, ChatRequest, Message
from ameli_llm.engines.vllm_server import VllmServer
from ameli_llm.errors import AmeliError
from ameli_llm.types import State
from tests.engines.scripted import Answer, ScriptedServer

WRITER = "You write the review of a product. " * 8

EngineT = TypeVar("EngineT", bound=ServerEngine)

QUICK = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02, longest_retry_after=0.1, refusals=1000)


def ask(**options: Any) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", "Hello.")), **options)


def score(text: str, about: str = "Hello.") -> ChatRequest:
    turns = (Message("system", WRITER), Message("user", about), Message("assistant", text))
    return ChatRequest(turns, scored=True)


@contextmanager
def opened(
    kind: type[EngineT], base_url: str | tuple[str, ...], policy: RetryPolicy = QUICK, **options: Any
) -> Iterator[EngineT]:
    config = EngineConfig(name=kind.name, base_url=base_url, **({"timeout": 30.0} | options))
    server = kind(config, policy)
    try:
        yield server
    finally:
        server.close()


engine = partial(opened, VllmServer)


def refusal(
    engine: Callable[..., AbstractContextManager[ServerEngine]],
    server: ScriptedServer,
    models: Answer,
    model: str,
) -> str:
    """What the canary says, which names the address, of a server with this list of models."""
    server.models = models
    with engine(server.base_url, model=model) as asked, pytest.raises(AmeliError) as raised:
        asked.canary()
    assert server.base_url in str(raised.value)
    return str(raised.value)


def failed(reply: ChatReply) -> tuple[State, str]:
    assert reply.failure is not None, reply
    return reply.failure.state, reply.failure.message

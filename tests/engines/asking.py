"""How the tests ask a scripted server: a request, an engine with quick retries, what failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ameli_llm.config import EngineConfig
from ameli_llm.engines._retry import RetryPolicy
from ameli_llm.engines.engine import ChatReply, ChatRequest, Message
from ameli_llm.engines.vllm_server import VllmServer
from ameli_llm.types import State

QUICK = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02, longest_retry_after=0.1, refusals=1000)


def ask(**options: Any) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", "Hello.")), **options)


@contextmanager
def engine(
    base_url: str | tuple[str, ...], policy: RetryPolicy = QUICK, **options: Any
) -> Iterator[VllmServer]:
    config = EngineConfig(name="vllm_server", base_url=base_url, **({"timeout": 30.0} | options))
    server = VllmServer(config, policy)
    try:
        yield server
    finally:
        server.close()


def failed(reply: ChatReply) -> tuple[State, str]:
    assert reply.failure is not None, reply
    return reply.failure.state, reply.failure.message

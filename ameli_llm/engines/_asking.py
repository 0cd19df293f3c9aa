"""What the engines that ask servers of the OpenAI protocol share: retries, other servers, what they serve."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import openai
from pydantic import ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from ameli_llm.address import normalised
from ameli_llm.config import EngineConfig
from ameli_llm.engines import _wire
from ameli_llm.engines._context import excess
from ameli_llm.engines._http import RefusedReplyError
from ameli_llm.engines._loop import Loop
from ameli_llm.engines._reply import engine_error, one_line
from ameli_llm.engines._retry import RetryPolicy, ServerDownError, Wait, describe, retryable
from ameli_llm.engines._server import Served, Server, pick
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.errors import AmeliError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BEGINNING = 400
"""Characters of a prompt, after its instructions, by which it goes to the server of those that begin so."""


class NoAnswerError(AmeliError):
    """A server that is not there, or whose answer cannot be used.

    ``status`` is that of the answer, None when none came or it was not read.
    """

    status: int | None = None


class ServerEngine(ABC):
    """Chat with servers: one event loop thread, ``config.concurrency`` requests in flight for each.

    ``model`` and ``revision`` ask a server once and raise AmeliError when none is there. Several servers have
    to serve the same; one that is not there is left out until it is back. ``key_variable`` of the environment
    may hold a key, which is sent along.
    """

    name: str
    key_variable: str
    batch_size = 1

    def __init__(self, config: EngineConfig, policy: RetryPolicy) -> None:
        self._config = config
        self._policy = policy
        self._wait = Wait(policy)
        self._served: Served | None = None
        self._servers = [
            Server(address, config.timeout, policy, self.key_variable) for address in config.addresses
        ]
        self._slots = asyncio.Semaphore(self.workers)
        self._loop = Loop(self.name)

    @property
    def workers(self) -> int:
        """As many threads as requests may be in flight."""
        return self._config.concurrency * len(self._config.addresses)

    @property
    def origin(self) -> str:
        """The servers' addresses, in one spelling and order."""
        return " ".join(sorted(map(normalised, self._config.addresses)))

    @property
    def model(self) -> str:
        """The configured model, or the only one that the server has."""
        return self._loop.run(self._identify()).model

    @property
    def revision(self) -> str:
        """What is known of where the model comes from and of who serves it."""
        return self._loop.run(self._identify()).revision

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in order; all of them are in flight at once."""
        try:
            return self._loop.run(_all(self._chat_one, requests))
        except AmeliError as error:
            return [engine_error(error.message) for _ in requests]

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """By how many tokens each prompt and its reply exceed the context that the server reports."""
        try:
            context = self._loop.run(self._identify()).context
            return excess(requests, context, lambda some: self._loop.run(_all(self._count, some)))
        except AmeliError:  # a server that is not there: its replies say so
            return [0 for _ in requests]

    @abstractmethod
    def canary(self) -> None:
        """Asks the server questions with known answers. Raises AmeliError."""

    def close(self) -> None:
        """Cancels what is in flight (its replies are engine errors) and closes the connections."""
        self._loop.close(lambda: asyncio.gather(*(server.close() for server in self._servers)))

    @abstractmethod
    async def _examined(self, server: Server) -> Served:
        """What this server serves: asked once. Raises AmeliError when it cannot be used."""

    @abstractmethod
    async def _body(self, request: ChatRequest) -> dict[str, Any]:
        """What is sent for the request."""

    @abstractmethod
    def _judged(self, request: ChatRequest, answer: _wire.Answer) -> ChatReply:
        """The reply that an answer makes."""

    @abstractmethod
    async def _count(self, request: ChatRequest) -> int:
        """Tokens of the prompt, or the most they can be. Never raises AmeliError."""

    @abstractmethod
    def _hint(self) -> str:
        """What to do when no server answers."""

    def _described(self, error: BaseException) -> str:
        """What went wrong with a request, in a few words."""
        return describe(error)

    async def _chat_one(self, request: ChatRequest) -> ChatReply:
        try:
            body = await self._body(request)
            async with self._slots:
                began = time.perf_counter()
                answer = await self._answer(request, body)
                seconds = time.perf_counter() - began
        except AmeliError as error:
            return engine_error(error.message)
        except Exception as error:  # a request that cannot be sent must not end the run
            logger.debug("request not sent", exc_info=True)
            return engine_error(f"request not sent: {type(error).__name__}: {error}")
        return replace(self._judged(request, answer), seconds=seconds)

    async def _answer(self, request: ChatRequest, body: dict[str, Any]) -> _wire.Answer:
        path, read = _wire.way(request)
        return await self._ask(path, read, body, self._begins(request))

    def _begins(self, request: ChatRequest) -> str:
        """By what it goes to a server: of what is asked, after the instructions."""
        asked = request.messages[:-1] if request.scored else request.messages
        return asked[-1].content[:_BEGINNING] if asked else ""

    async def _identify(self) -> Served:
        """What the servers serve. Raises AmeliError when none is there, or one serves something else."""
        if self._served is None:
            asked = (self._tried([server], "/models", self._served_by) for server in self._servers)
            found = await asyncio.gather(*asked, return_exceptions=True)
            problems = [one for one in found if isinstance(one, BaseException)]
            served = [one for one in found if isinstance(one, Served)]
            wrong = [one for one in problems if not isinstance(one, NoAnswerError)]
            if wrong or not served:
                raise (wrong or problems)[0]
            self._served = served[0]
        return self._served

    async def _served_by(self, server: Server) -> Served:
        """What this server serves, asked once. Raises AmeliError when it is not what the others do."""
        async with server.identifying:
            if server.served is None:
                served = await self._examined(server)
                self._require_same(server, served)
                server.served = served
            return server.served

    def _require_same(self, server: Server, served: Served) -> None:
        for one in self._servers:
            other = one.served
            if other and (other.model, other.revision) != (served.model, served.revision):
                raise AmeliError(
                    f"The server at {server.address} serves {served.model} ({one_line(served.revision)}), "
                    f"that at {one.address} {other.model} ({one_line(other.revision)}).",
                    hint="The servers of engine.base_url serve one model from one place, by one version.",
                )

    async def _ask(
        self, path: str, read: Callable[[str], T], body: dict[str, Any], begins: str = "", root: bool = False
    ) -> T:
        """One request to whichever server is best for it. Raises AmeliError, with an address, on failure.

        ``root``: the path begins where the server's own paths do, outside /v1.
        """

        async def ask(server: Server) -> T:
            if len(self._servers) > 1:
                await self._served_by(server)
            return read(await server.attempt("POST", server.root_address(path) if root else path, body))

        return await self._tried(self._servers, path, ask, begins)

    async def _tried(
        self, servers: Sequence[Server], path: str, ask: Callable[[Server], Awaitable[T]], begins: str = ""
    ) -> T:
        """What ``ask`` has from one of the servers: asked again, and of another one next, by the policy."""
        server, asked, status = servers[0], list[Server](), None

        def pause(state: RetryCallState) -> float:
            another = any(one not in asked and not one.breaker.is_open for one in servers)
            return 0.0 if another else self._wait(state)

        def passing(error: BaseException) -> bool:
            return retryable(error) or (len(servers) > 1 and isinstance(error, NoAnswerError))

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._policy.attempts + len(servers) - 1),
            wait=pause,
            retry=retry_if_exception(passing),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    server = pick(servers, begins, asked)
                    asked.append(server)
                    server.busy += 1
                    try:
                        return await ask(server)
                    finally:
                        server.busy -= 1
        except ServerDownError as error:
            problem = str(error)
        except (openai.APIError, TimeoutError, RefusedReplyError) as error:
            problem = f"{self._described(error)} ({len(asked)} attempt{'s' if len(asked) > 1 else ''})"
            status = error.status_code if isinstance(error, openai.APIStatusError) else None
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            problem = f"malformed reply to {path}: {f'{where}: ' if where else ''}{first['msg']}"
            status = 200
        failure = NoAnswerError(f"{server.address}: {one_line(problem)}", hint=self._hint())
        failure.status = status
        raise failure


async def _all(ask: Callable[[ChatRequest], Awaitable[T]], requests: Sequence[ChatRequest]) -> list[T]:
    return list(await asyncio.gather(*(ask(request) for request in requests)))

"""Engine "vllm_server": a running vLLM server, asked over the OpenAI protocol."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any, TypeVar

import openai
from pydantic import ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from ameli_llm.address import normalised
from ameli_llm.config import EngineConfig
from ameli_llm.engines import _canary, _question, _wire
from ameli_llm.engines._context import excess, most_tokens
from ameli_llm.engines._http import RefusedReplyError
from ameli_llm.engines._reply import choice_reply, engine_error, one_line, text_reply
from ameli_llm.engines._retry import RetryPolicy, ServerDownError, Wait, describe, retryable
from ameli_llm.engines._server import Served, Server, pick
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.models import made_name, serve_line

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_LISTED = 10
_TOKENIZE = "/tokenize"
_BEGINNING = 400
"""Characters of a prompt, after its instructions, by which it goes to the server of those that begin so."""
_SERVE = (
    "`vllm serve MODEL` (GPU) or `python -m vllm.entrypoints.openai.api_server --model MODEL` (CPU build)"
)


def create(config: EngineConfig) -> VllmServer:
    """The engine for the server at ``config.base_url``. Connects at the first call, not here."""
    return VllmServer(config, RetryPolicy())


class VllmServer:
    """Chat with vLLM servers: one event loop thread, ``config.concurrency`` requests in flight for each.

    ``model`` and ``revision`` ask a server once and raise AmeliError when none is there. Several servers have
    to serve the same; one that is not there is left out until it is back. A key in the environment variable
    VLLM_API_KEY is sent along.
    """

    name = "vllm_server"
    batch_size = 1

    def __init__(self, config: EngineConfig, policy: RetryPolicy) -> None:
        self._config = config
        self._policy = policy
        self._wait = Wait(policy)
        self._served: Served | None = None
        self._servers = [Server(address, config.timeout, policy) for address in config.addresses]
        self._slots = asyncio.Semaphore(self.workers)
        self._closing = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm_server", daemon=True)
        self._thread.start()

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
        return self._run(self._identify()).model

    @property
    def revision(self) -> str:
        """Where the server took the model from, and the server's version."""
        return self._run(self._identify()).revision

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in order; all of them are in flight at once."""
        try:
            return self._run(self._chat_all(requests))
        except AmeliError as error:
            return [engine_error(error.message) for _ in requests]

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """By how many tokens each prompt and its reply exceed the context that the server reports."""
        try:
            context = self._run(self._identify()).context
            return excess(requests, context, lambda some: self._run(self._count_all(some)))
        except AmeliError:  # a server that is not there: its replies say so
            return [0 for _ in requests]

    def count(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Tokens of each prompt as the server counts them. Raises AmeliError when it does not."""
        if not requests:
            return []
        first = self._run(self._counted(requests[0]))  # a server that does not count is asked once
        return [first, *self._run(self._counted_all(requests[1:]))]

    def canary(self) -> None:
        """Asks the server for its models, a choice and a JSON object. Raises AmeliError."""
        self._run(self._identify())
        options = "--structured-outputs-config.backend xgrammar"  # the next one needs a named backend
        hint = f"Start it with {options} --structured-outputs-config.disable_any_whitespace true."
        _canary.check(self, f"The server at {', '.join(self._config.addresses)}", hint)

    def close(self) -> None:
        """Cancels what is in flight (its replies are engine errors) and closes the connections."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(server.close() for server in self._servers))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._closing:
            if self._closed:
                work.close()
                raise AmeliError("The engine vllm_server is closed.")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise AmeliError("The engine vllm_server was closed before the answer came.") from None

    async def _chat_all(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        return list(await asyncio.gather(*(self._chat_one(request) for request in requests)))

    async def _chat_one(self, request: ChatRequest) -> ChatReply:
        try:
            model = self._config.model or (await self._identify()).model
            async with self._slots:
                began = time.perf_counter()
                answer = await self._answer(model, request)
                seconds = time.perf_counter() - began
        except AmeliError as error:
            return engine_error(error.message)
        except Exception as error:  # a request that cannot be sent must not end the run
            logger.debug("request not sent", exc_info=True)
            return engine_error(f"request not sent: {type(error).__name__}: {error}")
        reply = (
            choice_reply(request, answer.text, answer.tokens, answer.finish_reason, answer.usage)
            if request.choices
            else text_reply(request, answer.text, answer.finish_reason, answer.usage)
        )
        return replace(reply, seconds=seconds)

    async def _answer(self, model: str, request: ChatRequest) -> _wire.Answer:
        body, begins = _question.body(model, request), request.messages[-1].content[:_BEGINNING]
        if request.completion:
            return await self._ask("/completions", _wire.read_completion, body, begins)
        return await self._ask("/chat/completions", _wire.read_chat, body, begins)

    async def _count_all(self, requests: Sequence[ChatRequest]) -> list[int]:
        return list(await asyncio.gather(*(self._count(request) for request in requests)))

    async def _count(self, request: ChatRequest) -> int:
        """Tokens of the prompt as the server counts them; from one that does not, the most they can be."""
        try:
            return await self._counted(request)
        except AmeliError:
            return most_tokens(request)

    async def _counted_all(self, requests: Sequence[ChatRequest]) -> list[int]:
        return list(await asyncio.gather(*(self._counted(request) for request in requests)))

    async def _counted(self, request: ChatRequest) -> int:
        body = {"model": (await self._identify()).model} | _question.prompt(request)
        async with self._slots:
            return await self._ask(_TOKENIZE, _wire.read_count, body)

    async def _identify(self) -> Served:
        """What the servers serve. Raises AmeliError when none is there, or one serves something else."""
        if self._served is None:
            asked = (self._tried([server], "/models", self._served_by) for server in self._servers)
            found = await asyncio.gather(*asked, return_exceptions=True)
            problems = [one for one in found if isinstance(one, BaseException)]
            served = [one for one in found if isinstance(one, Served)]
            wrong = [one for one in problems if not isinstance(one, _NoAnswerError)]
            if wrong or not served:
                raise (wrong or problems)[0]
            self._served = served[0]
        return self._served

    async def _served_by(self, server: Server) -> Served:
        """What this server serves, asked once. Raises AmeliError when it is not what the others do."""
        async with server.identifying:
            if server.served is None:
                models = _wire.read_models(await server.attempt("GET", "/models"))
                model = self._pick(server, models)
                revision = f"{_portable(models[model].root)}@{await self._version(server)}"
                self._require_same(server, model, revision)
                server.served = Served(model, revision, models[model].context)
            return server.served

    async def _version(self, server: Server) -> str:
        async def ask(one: Server) -> str:
            return "vllm-" + _wire.read_version(await one.attempt("GET", one.root_address("/version")))

        try:
            return await self._tried([server], "/version", ask)
        except _NoAnswerError:
            return "unknown server"

    def _require_same(self, server: Server, model: str, revision: str) -> None:
        for other in self._servers:
            if other.served and (other.served.model, other.served.revision) != (model, revision):
                raise AmeliError(
                    f"The server at {server.address} serves {model} ({one_line(revision)}), that at "
                    f"{other.address} {other.served.model} ({one_line(other.served.revision)}).",
                    hint="The servers of engine.base_url serve one model from one place, by one version.",
                )

    def _pick(self, server: Server, models: Mapping[str, _wire.Model]) -> str:
        asked, available = self._config.model, _listed(models)
        if asked in models:
            return asked
        if asked:
            line = serve_line(asked)
            other = (
                f"Start it with `{line}`." if line else "Set engine.model to one of them, or leave it empty."
            )
            raise AmeliError(
                f"The server at {server.address} has no model {asked!r}.",
                hint=f"It serves: {available}. {other}",
            )
        if len(models) != 1:
            raise AmeliError(
                f"The server at {server.address} has {len(models)} models.",
                hint=f"Set engine.model to one of: {available}.",
            )
        return next(iter(models))

    async def _ask(self, path: str, read: Callable[[str], T], body: dict[str, Any], begins: str = "") -> T:
        """One request to whichever server is best for it. Raises AmeliError, with an address, on failure."""

        async def ask(server: Server) -> T:
            if len(self._servers) > 1:
                await self._served_by(server)
            address = server.root_address(path) if path == _TOKENIZE else path
            return read(await server.attempt("POST", address, body))

        return await self._tried(self._servers, path, ask, begins)

    async def _tried(
        self, servers: Sequence[Server], path: str, ask: Callable[[Server], Awaitable[T]], begins: str = ""
    ) -> T:
        """What ``ask`` has from one of the servers: asked again, and of another one next, by the policy."""
        server, asked = servers[0], list[Server]()

        def pause(state: RetryCallState) -> float:
            another = any(one not in asked and not one.breaker.is_open for one in servers)
            return 0.0 if another else self._wait(state)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._policy.attempts + len(servers) - 1),
            wait=pause,
            retry=retry_if_exception(retryable),
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
            problem = f"{describe(error)} ({len(asked)} attempt{'s' if len(asked) > 1 else ''})"
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            problem = f"malformed reply to {path}: {f'{where}: ' if where else ''}{first['msg']}"
        raise _NoAnswerError(f"{server.address}: {one_line(problem)}", hint=_start(self._config.model))


class _NoAnswerError(AmeliError):
    """A server that is not there, or whose answer cannot be used."""


def _start(model: str) -> str:
    """What to type when no server answers."""
    known = serve_line(model)
    line = f"`{known}`" if known else _SERVE
    return f"Start one with {line}, and name its address, which ends in /v1, in engine.base_url."


def _portable(root: str) -> str:
    """A known model's folder without those above it, which differ from machine to machine."""
    last = root.rstrip("/").rpartition("/")[2]
    return last if made_name(last) else root


def _listed(models: Iterable[str]) -> str:
    names = sorted(models)
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return (", ".join(map(one_line, names[:_MOST_LISTED])) or "none") + more

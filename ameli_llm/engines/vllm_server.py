"""Engine "vllm_server": a running vLLM server, asked over the OpenAI protocol."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import openai
from pydantic import ValidationError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from ameli_llm.address import normalised
from ameli_llm.config import EngineConfig
from ameli_llm.engines import _canary, _question, _wire
from ameli_llm.engines._context import excess, most_tokens
from ameli_llm.engines._http import Client, RefusedReplyError
from ameli_llm.engines._reply import choice_reply, engine_error, one_line, text_reply
from ameli_llm.engines._retry import Breaker, RetryPolicy, ServerDownError, Wait, describe, retryable
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.models import made_name, serve_line

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_LISTED = 10
_SERVE = (
    "`vllm serve MODEL` (GPU) or `python -m vllm.entrypoints.openai.api_server --model MODEL` (CPU build)"
)


def create(config: EngineConfig) -> VllmServer:
    """The engine for the server at ``config.base_url``. Connects at the first call, not here."""
    return VllmServer(config, RetryPolicy())


@dataclass(frozen=True)
class _Served:
    model: str
    revision: str
    context: int | None


class VllmServer:
    """Chat with a vLLM server: one event loop thread, at most ``config.concurrency`` requests in flight.

    ``model`` and ``revision`` ask the server once and raise AmeliError when it is not there. A key in the
    environment variable VLLM_API_KEY is sent along.
    """

    name = "vllm_server"
    batch_size = 1

    def __init__(self, config: EngineConfig, policy: RetryPolicy) -> None:
        self._config = config
        self._policy = policy
        self._wait = Wait(policy)
        self._breaker = Breaker(policy)
        self._served: _Served | None = None
        self._served_lock = asyncio.Lock()
        self._slots = asyncio.Semaphore(config.concurrency)
        self._closing = threading.Lock()
        self._closed = False
        self._client = Client(config.base_url, config.timeout)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm_server", daemon=True)
        self._thread.start()

    @property
    def workers(self) -> int:
        """As many threads as requests may be in flight."""
        return self._config.concurrency

    @property
    def origin(self) -> str:
        """The server's address, in one spelling."""
        return normalised(self._config.base_url)

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

    def canary(self) -> None:
        """Asks the server for its models, a choice and a JSON object. Raises AmeliError."""
        self._run(self._identify())
        options = "--structured-outputs-config.backend xgrammar"  # the next one needs a named backend
        hint = f"Start it with {options} --structured-outputs-config.disable_any_whitespace true."
        _canary.check(self, f"The server at {self._config.base_url}", hint)

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
        await self._client.close()

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
        body = _question.body(model, request)
        if request.completion:
            return await self._ask("POST", "/completions", _wire.read_completion, body)
        return await self._ask("POST", "/chat/completions", _wire.read_chat, body)

    async def _count_all(self, requests: Sequence[ChatRequest]) -> list[int]:
        return list(await asyncio.gather(*(self._count(request) for request in requests)))

    async def _count(self, request: ChatRequest) -> int:
        """Tokens of the prompt as the server counts them; from one that does not, the most they can be."""
        body = {"model": (await self._identify()).model} | _question.prompt(request)
        try:
            async with self._slots:
                return await self._ask("POST", self._root_address("/tokenize"), _wire.read_count, body)
        except AmeliError:
            return most_tokens(request)

    async def _identify(self) -> _Served:
        async with self._served_lock:
            if self._served is None:
                models = await self._ask("GET", "/models", _wire.read_models)
                model = self._pick(models)
                try:
                    version = "vllm-" + await self._ask(
                        "GET", self._root_address("/version"), _wire.read_version
                    )
                except AmeliError:
                    version = "unknown server"
                self._served = _Served(
                    model, f"{_portable(models[model].root)}@{version}", models[model].context
                )
            return self._served

    def _pick(self, models: Mapping[str, _wire.Model]) -> str:
        asked, available = self._config.model, _listed(models)
        if asked in models:
            return asked
        if asked:
            line = serve_line(asked)
            other = (
                f"Start it with `{line}`." if line else "Set engine.model to one of them, or leave it empty."
            )
            raise AmeliError(
                f"The server at {self._config.base_url} has no model {asked!r}.",
                hint=f"It serves: {available}. {other}",
            )
        if len(models) != 1:
            raise AmeliError(
                f"The server at {self._config.base_url} has {len(models)} models.",
                hint=f"Set engine.model to one of: {available}.",
            )
        return next(iter(models))

    def _root_address(self, path: str) -> str:
        return self._config.base_url.rstrip("/").removesuffix("/v1") + path

    async def _ask(
        self, method: str, path: str, read: Callable[[str], T], body: dict[str, Any] | None = None
    ) -> T:
        """One request, tried again as the policy allows. Raises AmeliError, with the address, on failure."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._policy.attempts),
            wait=self._wait,
            retry=retry_if_exception(retryable),
            reraise=True,
        )
        attempts = 0
        try:
            async for attempt in retrying:
                with attempt:
                    self._breaker.check()
                    attempts += 1
                    return read(await self._attempt(method, path, body))
        except ServerDownError as error:
            problem = str(error)
        except (openai.APIError, TimeoutError, RefusedReplyError) as error:
            problem = f"{describe(error)} ({attempts} attempt{'s' if attempts > 1 else ''})"
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            problem = f"malformed reply to {path}: {f'{where}: ' if where else ''}{first['msg']}"
        raise AmeliError(f"{self._config.base_url}: {one_line(problem)}", hint=_start(self._config.model))

    async def _attempt(self, method: str, path: str, body: dict[str, Any] | None) -> str:
        error: BaseException | None = None
        try:
            # The client's own time-out starts anew with every byte that comes; this one does not.
            async with asyncio.timeout(self._config.timeout):
                if method == "GET":
                    return await self._client.get(path, cast_to=str)
                return await self._client.post(path, body=body, cast_to=str)
        except BaseException as caught:
            error = caught
            if isinstance(caught.__cause__, RefusedReplyError):  # openai 2 wraps it, openai 3 does not
                error = caught.__cause__
                raise error from None
            raise
        finally:
            self._breaker.record(error)


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

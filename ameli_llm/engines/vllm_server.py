"""Engine "vllm_server": a running vLLM server, asked over the OpenAI protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ameli_llm.config import EngineConfig
from ameli_llm.engines import _canary, _question, _wire
from ameli_llm.engines._asking import NoAnswerError, ServerEngine
from ameli_llm.engines._context import most_tokens
from ameli_llm.engines._http import VLLM_KEY
from ameli_llm.engines._local import require_prompt
from ameli_llm.engines._reply import choice_reply, scored_reply, text_reply
from ameli_llm.engines._retry import RetryPolicy
from ameli_llm.engines._server import Served, Server, listed, only_model, portable
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.models import serve_line

_SERVE = (
    "`vllm serve MODEL` (GPU) or `python -m vllm.entrypoints.openai.api_server --model MODEL` (CPU build)"
)


def create(config: EngineConfig) -> VllmServer:
    """The engine for the server at ``config.base_url``. Connects at the first call, not here."""
    return VllmServer(config, RetryPolicy())


class VllmServer(ServerEngine):
    """Chat with vLLM servers, which hold every reply to its constraint and count tokens.

    A key in the environment variable VLLM_API_KEY is sent along.
    """

    name = "vllm_server"
    key_variable = VLLM_KEY

    def count(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Tokens of each prompt as the server counts them. Raises AmeliError when it does not."""
        if not requests:
            return []
        first = self._loop.run(self._counted(requests[0]))  # a server that does not count is asked once
        return [first, *self._loop.run(self._counted_all(requests[1:]))]

    def canary(self) -> None:
        """Asks the server for its models, a choice and a JSON object. Raises AmeliError."""
        self._loop.run(self._identify())
        options = "--structured-outputs-config.backend xgrammar"  # the next one needs a named backend
        hint = f"Start it with {options} --structured-outputs-config.disable_any_whitespace true."
        _canary.check(self, f"The server at {', '.join(self._config.addresses)}", hint)

    async def _body(self, request: ChatRequest) -> dict[str, Any]:
        model = self._config.model or (await self._identify()).model
        return _question.body(model, request)

    async def _answer(self, request: ChatRequest, body: dict[str, Any]) -> _wire.Answer:
        if not request.scored:
            return await super()._answer(request, body)
        prompt = await self._spelt(_question.prompt(request))
        text = await self._spelt(_question.scored(request))
        require_prompt(request, prompt)
        whole = body | {"prompt": [*prompt, *text]}
        return await self._ask("/completions", partial(_wire.read_scored, text), whole, self._begins(request))

    def _judged(self, request: ChatRequest, answer: _wire.Answer) -> ChatReply:
        if request.scored:
            return scored_reply(answer.scored, answer.finish_reason, answer.usage)
        if request.choices:
            return choice_reply(request, answer.text, answer.tokens, answer.finish_reason, answer.usage)
        return text_reply(request, answer.text, answer.finish_reason, answer.usage)

    async def _count(self, request: ChatRequest) -> int:
        """Tokens of the prompt as the server counts them; from one that does not, the most they can be."""
        try:
            return await self._counted(request)
        except AmeliError:
            return most_tokens(request)

    async def _counted_all(self, requests: Sequence[ChatRequest]) -> list[int]:
        return list(await asyncio.gather(*(self._counted(request) for request in requests)))

    async def _counted(self, request: ChatRequest) -> int:
        asked = [_question.prompt(request), *([_question.scored(request)] if request.scored else [])]
        model = {"model": (await self._identify()).model}
        async with self._slots:
            return sum(
                [await self._ask("/tokenize", _wire.read_count, model | one, root=True) for one in asked]
            )

    async def _spelt(self, asked: dict[str, Any]) -> list[int]:
        body = {"model": (await self._identify()).model} | asked
        return await self._ask("/tokenize", _wire.read_tokens, body, root=True)

    async def _examined(self, server: Server) -> Served:
        models = _wire.read_models(await server.attempt("GET", "/models"))
        model = self._pick(server, models)
        revision = f"{portable(models[model].root)}@{await self._version(server)}"
        return Served(model, revision, models[model].context)

    async def _version(self, server: Server) -> str:
        async def ask(one: Server) -> str:
            return "vllm-" + _wire.read_version(await one.attempt("GET", one.root_address("/version")))

        try:
            return await self._tried([server], "/version", ask)
        except NoAnswerError:
            return "unknown server"

    def _pick(self, server: Server, models: Mapping[str, _wire.Model]) -> str:
        asked = self._config.model
        if not asked:
            return only_model(server, models)
        if asked in models:
            return asked
        line = serve_line(asked)
        other = f"Start it with `{line}`." if line else "Set engine.model to one of them, or leave it empty."
        raise AmeliError(
            f"The server at {server.address} has no model {asked!r}.",
            hint=f"It serves: {listed(models)}. {other}",
        )

    def _hint(self) -> str:
        known = serve_line(self._config.model)
        line = f"`{known}`" if known else _SERVE
        return f"Start one with {line}, and name its address, which ends in /v1, in engine.base_url."

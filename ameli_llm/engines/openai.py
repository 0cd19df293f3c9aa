"""Engine "openai": any server of the OpenAI protocol; what it lacks is done in another way."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any

from openai import AuthenticationError

from ameli_llm.config import EngineConfig
from ameli_llm.engines import _question, _wire
from ameli_llm.engines._abilities import (
    CHAT_ONLY,
    EVERYTHING,
    INSTEAD,
    LACKING,
    QUESTIONS,
    Abilities,
    kept_to_schema,
)
from ameli_llm.engines._asking import NoAnswerError, ServerEngine
from ameli_llm.engines._canary import CHOICE
from ameli_llm.engines._context import most_tokens
from ameli_llm.engines._reply import free_choice_reply, one_line, text_reply
from ameli_llm.engines._retry import RetryPolicy
from ameli_llm.engines._server import Served, Server, listed, only_model, portable
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.types import State

logger = logging.getLogger(__name__)

KEY = "OPENAI_API_KEY"


def create(config: EngineConfig) -> OpenAIServer:
    """The engine for the server at ``config.base_url``. Connects at the first call, not here."""
    return OpenAIServer(config, RetryPolicy())


class OpenAIServer(ServerEngine):
    """Chat with servers of the OpenAI protocol: llama.cpp, Ollama, SGLang, hosted ones.

    What a server can do is found out before the first request, is the same until the engine is closed, and
    stands in ``revision``: replies of one way are never taken for those of the other. Without JSON schemas,
    JSON is looked for in the text of a reply; without log-probabilities a choice is read from the text. A
    choice is never guessed: a reply that is none of those offered is INVALID_OUTPUT. A key in the environment
    variable OPENAI_API_KEY is sent along.
    """

    name = "openai"
    key_variable = KEY

    def __init__(self, config: EngineConfig, policy: RetryPolicy) -> None:
        super().__init__(config, policy)
        self._lacks: list[str] = []

    @property
    def scores(self) -> bool:
        """Whether it can say how likely a given text is: no."""
        return False

    @property
    def completes(self) -> bool:
        """Whether the server has plain completions. Raises AmeliError when it is not there."""
        return self._loop.run(self._identify()).abilities.completions

    def longest_reply(self, request: ChatRequest) -> int:
        """Tokens of the longest reply to the request. Raises AmeliError when the server is not there."""
        most: int = self._loop.run(self._body(request))["max_tokens"]
        return most

    def canary(self) -> None:
        """Finds out what the server can do, says what it lacks, and asks for a choice.

        Raises AmeliError when the server does not answer. A model whose answer is no choice is only warned
        of: that is not the server's fault, and each such reply fails by itself.
        """
        self._loop.run(self._identify())
        lacks, self._lacks = self._lacks, []
        for line in lacks:
            logger.warning(line)
        (reply,) = self.chat([CHOICE])
        if reply.failure is None:
            return
        if reply.failure.state is State.ENGINE_ERROR:
            raise AmeliError(
                f"The server failed the choice test: {reply.failure.message}.", hint=self._hint()
            )
        logger.warning(
            "Asked for A or B, the model %s gave no choice (%s): expect failed reviews.",
            one_line(self.model),
            reply.failure.message,
        )

    async def _body(self, request: ChatRequest) -> dict[str, Any]:
        served = await self._identify()
        if request.scored:
            raise AmeliError("The protocol has no question for how likely a text is.")
        if request.completion and not served.abilities.completions:
            raise AmeliError(f"The server at {', '.join(self._config.addresses)} has no /completions.")
        return _question.standard_body(served.model, request, served.abilities)

    def _judged(self, request: ChatRequest, answer: _wire.Answer) -> ChatReply:
        assert self._served is not None, "a request has no body before the server is known"
        can, ends = self._served.abilities, (answer.finish_reason, answer.usage)
        if request.choices:
            tokens = answer.tokens if can.logprobs and not request.completion else None
            return free_choice_reply(request, answer.text, tokens, *ends)
        held = can.json_schema and not request.completion
        return text_reply(request, answer.text, *ends, held=held)

    async def _count(self, request: ChatRequest) -> int:
        return most_tokens(request)

    async def _examined(self, server: Server) -> Served:
        models = await self._listed(server)
        model = self._config.model or only_model(server, models)
        await self._first(server, model, models)
        found = await asyncio.gather(*(self._lacking(name, server, model) for name in QUESTIONS))
        lacks = {name: why for name, why in zip(QUESTIONS, found, strict=True) if why}
        for name, why in lacks.items():
            line = f"The server at {server.address} {INSTEAD[name]} ({one_line(why)})."
            self._lacks += [line] * (line not in self._lacks)
        abilities = Abilities(**{name: name not in lacks for name in QUESTIONS})
        known = models.get(model, _wire.Model(model, None))
        return Served(model, f"{portable(known.root)}@openai{abilities}", known.context, abilities)

    async def _listed(self, server: Server) -> dict[str, _wire.Model]:
        """The models that the server lists: none where it has no list, then one has to be named."""

        async def ask(one: Server) -> dict[str, _wire.Model]:
            return _wire.read_models(await one.attempt("GET", "/models"))

        try:
            models, why = await self._tried([server], "/models", ask), "its list is empty"
        except NoAnswerError as error:
            if error.status not in LACKING:
                raise
            models, why = {}, error.message.removeprefix(f"{server.address}: ")
        if not models and not self._config.model:
            raise AmeliError(
                f"The server at {server.address} does not say which models it has: {why}.",
                hint="Name one: --model NAME, or engine.model.",
            )
        return models

    async def _first(self, server: Server, model: str, models: Mapping[str, object]) -> None:
        """Asks what takes no ability. Raises AmeliError with the server's words when that fails."""
        try:
            await self._probed(server, model, CHOICE, CHAT_ONLY)
        except NoAnswerError as error:
            if error.status not in LACKING:
                raise
            other = f"It does not list {model!r} but: {listed(models)}. Set engine.model to one of them."
            hint = other if models and model not in models else error.hint
            raise AmeliError(error.message, hint=hint) from error

    async def _lacking(self, name: str, server: Server, model: str) -> str:
        """Why the server lacks the ability ``name``; "" where it has it."""
        try:
            answer = await self._probed(server, model, QUESTIONS[name], EVERYTHING)
        except NoAnswerError as error:
            if error.status not in LACKING:
                raise
            return error.message.removeprefix(f"{server.address}: ")
        if name == "json_schema" and not kept_to_schema(answer.text):
            return f"asked for an object, it said {answer.text!r}"
        if name == "logprobs" and not answer.tokens:
            return "asked for some, it gave none"
        return ""

    async def _probed(self, server: Server, model: str, request: ChatRequest, can: Abilities) -> _wire.Answer:
        path, read = _wire.way(request)
        body = _question.standard_body(model, request, can)

        async def ask(one: Server) -> _wire.Answer:
            return read(await one.attempt("POST", path, body))

        return await self._tried([server], path, ask)

    def _described(self, error: BaseException) -> str:
        if not isinstance(error, AuthenticationError):
            return super()._described(error)
        # A server's own words for it often repeat a part of the key.
        given = os.environ.get(KEY, "").strip()
        return f"HTTP 401: the key in {KEY} is not taken" if given else f"HTTP 401: {KEY} is not set"

    def _hint(self) -> str:
        return (
            "Name a server's address, most end in /v1, in engine.base_url, and a model of it in engine.model."
        )

"""An engine below the reply cache that counts what is sent, keeps to a budget, and can hold it all back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from ameli_llm.engines.cache import request_key
from ameli_llm.engines.engine import ChatReply, ChatRequest, CountsTokens, Engine
from ameli_llm.engines.wrapped import WrappedEngine
from ameli_llm.errors import AmeliError
from ameli_llm.prompting.preview import estimate
from ameli_llm.types import Failure, State
from eval.matrix.ledger import BudgetSpentError, Ledger, Sent

UNSENT = Failure(State.ENGINE_ERROR, "not sent: only a forecast")
"""Why a request that was held back has no reply."""

UNAFFORDABLE = Failure(State.ENGINE_ERROR, "not sent: the tokens of --max-tokens-total are spent")
"""Why a request that came beside those that were sent has no reply."""


@runtime_checkable
class BoundsReplies(Protocol):
    """An engine whose choices may take more than one token."""

    def longest_reply(self, request: ChatRequest) -> int:
        """Tokens of the longest reply to the request. Raises AmeliError where it cannot be told."""


@dataclass(frozen=True)
class Known:
    """What is known of requests, by what the reply cache knows them by: ``tokens`` of their prompts.

    ``unusable`` replies are not in the cache, where they would stay; a matrix asks for them once.
    """

    tokens: dict[str, int] = field(default_factory=dict)
    unusable: dict[str, ChatReply] = field(default_factory=dict)


class Meter(WrappedEngine):
    """The engine as it is, but for the count in ``ledger``; the model is asked its canary once.

    Raises BudgetSpentError from ``chat``, before the call that could exceed the budget.
    """

    def __init__(self, engine: Engine, ledger: Ledger, known: Known) -> None:
        super().__init__(engine)
        self._ledger = ledger
        self._known = known
        self._identities: dict[int, tuple[str, str, str]] = {}
        self._held = False
        self._checked = False
        self.estimates = not isinstance(engine, CountsTokens)

    @property
    def account(self) -> str:
        """Under what its calls stand in the ledger."""
        return " ".join(self._identity(self))

    def _identity(self, engine: Engine) -> tuple[str, str, str]:
        if id(engine) not in self._identities:
            self._identities[id(engine)] = engine.origin, engine.model, engine.revision
        return self._identities[id(engine)]

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """The engine's replies, or while everything is held back, failures that say so.

        Where only the first requests fit the budget, the others fail likewise: so the replies that were paid
        for reach the cache, and the next call raises.
        """
        found = [self._known.unusable.get(self.key(request)) for request in requests]
        missing = [request for request, reply in zip(requests, found, strict=True) if reply is None]
        fresh = iter([ChatReply(failure=UNSENT)] * len(missing) if self._held else self._paid(missing))
        return [next(fresh) if reply is None else reply for reply in found]

    def _paid(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        limited = self._ledger.most is not None
        most = self._most_tokens(requests) if limited else [0] * len(requests)
        replies: list[ChatReply] = []
        while rest := requests[len(replies) :]:
            try:
                fitting = self._ledger.reserve(most[len(replies) :])
            except BudgetSpentError:
                if not replies:
                    raise
                return [*replies, *(ChatReply(failure=UNAFFORDABLE) for _ in rest)]
            replies += self._sent(rest[:fitting], sum(most[len(replies) :][:fitting]))
        return replies

    def _sent(self, requests: Sequence[ChatRequest], reserved: int) -> list[ChatReply]:
        sent = Sent()
        try:
            replies = self._engine.chat(requests)
            usage = [reply.usage for reply in replies]
            sent = Sent(
                calls=len(replies),
                prompt=sum(one.prompt for one in usage),
                completion=sum(one.completion for one in usage),
            )
        finally:
            self._ledger.settle(reserved, self.account, sent)
        for request, reply in zip(requests, replies, strict=True):
            if reply.failure is not None and reply.failure.state is State.INVALID_OUTPUT:
                self._known.unusable[self.key(request)] = replace(reply, seconds=0.0, from_cache=True)
        return replies

    def _most_tokens(self, requests: Sequence[ChatRequest]) -> list[int]:
        prompts = self.counted(requests)
        return [
            prompt + self.longest_reply(request) for prompt, request in zip(prompts, requests, strict=True)
        ]

    def counted(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Tokens of each prompt: as the engine counts them, from one that cannot, the estimate.

        ``estimates`` then says so.
        """
        keys = [self.key(request) for request in requests]
        tokens = self._known.tokens
        missing = {key: one for key, one in zip(keys, requests, strict=True) if key not in tokens}
        tokens.update(zip(missing, self._count(list(missing.values())), strict=True))
        return [tokens[key] for key in keys]

    def longest_reply(self, request: ChatRequest) -> int:
        """Tokens of the longest reply that a request allows: a choice is one, unless the engine says more."""
        if not isinstance(self._engine, BoundsReplies):
            return 1 if request.choices else request.max_tokens
        try:
            return self._engine.longest_reply(request)
        except AmeliError:  # nobody is there: the reply will say so
            return request.max_tokens

    def key(self, request: ChatRequest) -> str:
        """What the reply cache knows the request by."""
        return request_key(request, *self._identity(self.answering(request)))

    def _count(self, requests: Sequence[ChatRequest]) -> list[int]:
        if not self.estimates and isinstance(self._engine, CountsTokens):
            try:
                return self._engine.count(requests)
            except AmeliError:
                self.estimates = True
        return [estimate(request) for request in requests]

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Within it nothing is sent."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def canary(self) -> None:
        """The engine's, the first time."""
        if not self._checked:
            super().canary()
        self._checked = True

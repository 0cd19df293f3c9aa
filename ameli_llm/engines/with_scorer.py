"""Two models as one engine: one answers, the other says how likely given texts are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ameli_llm.engines.engine import ChatReply, ChatRequest, CountsTokens, Engine
from ameli_llm.engines.wrapped import WrappedEngine
from ameli_llm.errors import AmeliError

T = TypeVar("T")


def _counted(engine: Engine, requests: Sequence[ChatRequest]) -> list[int]:
    if not isinstance(engine, CountsTokens):
        raise AmeliError(f"The engine {engine.name} does not count tokens.")
    return engine.count(requests)


class WithScorer(WrappedEngine):
    """``engine``, but for requests that are scored, which go to ``scorer``.

    A model that was fine-tuned to extract has forgotten what people write of a product; the model that it was
    made from has not.
    """

    def __init__(self, engine: Engine, scorer: Engine) -> None:
        super().__init__(engine)
        self._scorer = scorer

    @property
    def scores(self) -> bool:
        """Whether the scorer can say how likely a given text is."""
        return bool(getattr(self._scorer, "scores", True))

    def answering(self, request: ChatRequest) -> Engine:
        """The engine that a request goes to."""
        return self._scorer if request.scored else self._engine

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in order, of one engine after the other."""
        return self._parted(requests, lambda engine, some: engine.chat(some))

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """By how much each exceeds the context of the model that it goes to."""
        return self._parted(requests, lambda engine, some: engine.excess(some))

    def count(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Tokens that each request sends. Raises AmeliError where an engine cannot tell."""
        return self._parted(requests, _counted)

    def canary(self) -> None:
        """That of both. Raises AmeliError."""
        self._engine.canary()
        self._scorer.canary()

    def close(self) -> None:
        """Closes both."""
        try:
            self._engine.close()
        finally:
            self._scorer.close()

    def _parted(
        self, requests: Sequence[ChatRequest], ask: Callable[[Engine, Sequence[ChatRequest]], list[T]]
    ) -> list[T]:
        found: dict[int, T] = {}
        for engine, scored in ((self._engine, False), (self._scorer, True)):
            places = [at for at, request in enumerate(requests) if request.scored is scored]
            if places:
                found |= zip(places, ask(engine, [requests[at] for at in places]), strict=True)
        return [found[at] for at in range(len(requests))]

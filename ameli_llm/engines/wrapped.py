"""What an engine that stands around another one leaves to it: everything that it does not do itself."""

from __future__ import annotations

from collections.abc import Sequence

from ameli_llm.engines.engine import ChatReply, ChatRequest, Engine


class WrappedEngine:
    """All that ``engine`` is and does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def name(self) -> str:
        """The wrapped engine's."""
        return self._engine.name

    @property
    def origin(self) -> str:
        """The wrapped engine's."""
        return self._engine.origin

    @property
    def model(self) -> str:
        """The wrapped engine's."""
        return self._engine.model

    @property
    def revision(self) -> str:
        """The wrapped engine's."""
        return self._engine.revision

    @property
    def batch_size(self) -> int:
        """The wrapped engine's."""
        return self._engine.batch_size

    @property
    def workers(self) -> int:
        """The wrapped engine's."""
        return self._engine.workers

    @property
    def completes(self) -> bool:
        """Whether the wrapped engine has plain completions: one that does not say has."""
        return bool(getattr(self._engine, "completes", True))

    @property
    def scores(self) -> bool:
        """Whether the wrapped engine can say how likely a given text is: one that does not say can."""
        return bool(getattr(self._engine, "scores", True))

    def answering(self, request: ChatRequest) -> Engine:
        """The engine that a request goes to in the end: who it is tells one reply from another."""
        engine = self._engine
        return engine.answering(request) if isinstance(engine, WrappedEngine) else engine

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """The wrapped engine's."""
        return self._engine.chat(requests)

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """The wrapped engine's."""
        return self._engine.excess(requests)

    def canary(self) -> None:
        """The wrapped engine's."""
        self._engine.canary()

    def close(self) -> None:
        """The wrapped engine's."""
        self._engine.close()

"""Replies kept in a SQLite file: a request that was answered once is never sent again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ameli_llm.engines.engine import ChatReply, ChatRequest, Engine
from ameli_llm.engines.wrapped import WrappedEngine
from ameli_llm.errors import AmeliError
from ameli_llm.store import TextStore
from ameli_llm.types import Usage


class CachedEngine(WrappedEngine):
    """Any engine, behind a cache; threads and processes may share the file.

    The key covers server, model, revision, messages, schema, choices and sampling: what a model is sent, and
    not the template that it was made with, so that a comment written into one sends nothing anew.
    Failures, replies that were cut off and empty ones are never stored. A reply from the cache is the very
    reply that was stored, its token counts included, so that a second run's metrics equal the first's byte
    for byte: ``hits`` says how many calls were saved. The canary is never from the cache. A damaged file is
    moved aside; when the disk is full the engine runs on without the cache. Identical requests of one batch
    are sent once. Where the wrapped engine does not say how long a reply took, it is given its share of the
    batch's seconds.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        super().__init__(engine)
        self._store = TextStore(path)
        self._lock = threading.Lock()
        self._hits = 0
        self._misses = 0

    @property
    def hits(self) -> int:
        """Requests answered without a model call since this object was made."""
        return self._hits

    @property
    def misses(self) -> int:
        """Requests handed to the wrapped engine."""
        return self._misses

    def close(self) -> None:
        """Closes the file and the wrapped engine."""
        self._store.close()
        super().close()

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in order, from the cache where it has one."""
        try:
            keys = self._keys(requests)
        except AmeliError:  # an engine that cannot say what it is: its replies say why
            return self._engine.chat(requests)
        found = self._look_up(keys)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in found}
        with self._lock:
            self._hits += len(requests) - len(missing)
            self._misses += len(missing)
        if missing:
            began = time.perf_counter()
            replies = self._engine.chat(list(missing.values()))
            share = (time.perf_counter() - began) / len(missing)
            fresh = {
                key: reply if reply.seconds is not None else replace(reply, seconds=share)
                for key, reply in zip(missing, replies, strict=True)
            }
            self._store.put({key: _StoredReply.dump(r) for key, r in fresh.items() if _complete(r)})
            found |= fresh
        return [found[key] for key in keys]

    def _keys(self, requests: Sequence[ChatRequest]) -> list[str]:
        engines = {request.scored: self.answering(request) for request in requests}
        identities = {scored: (one.origin, one.model, one.revision) for scored, one in engines.items()}
        return [request_key(request, *identities[request.scored]) for request in requests]

    def _look_up(self, keys: Sequence[str]) -> dict[str, ChatReply]:
        found: dict[str, ChatReply] = {}
        for key, text in self._store.get(dict.fromkeys(keys)).items():
            with contextlib.suppress(ValidationError):  # an unreadable entry counts as none
                found[key] = _StoredReply.model_validate_json(text).load()
        return found


def request_key(request: ChatRequest, origin: str, model: str, revision: str) -> str:
    """SHA-256 of everything that decides the reply, as canonical JSON (sorted keys, ASCII).

    The schema keeps its key order: it is the order in which a constrained model writes the fields.
    """
    schema = None if request.schema is None else json.dumps(request.schema, separators=(",", ":"))
    content = {
        "origin": origin,
        "model": model,
        "revision": revision,
        "messages": [[message.role, message.content] for message in request.messages],
        "schema": schema,
        "choices": list(request.choices),
        "sampling": [request.max_tokens, request.temperature, request.top_p, request.seed],
        "completion": request.completion,
        **({"scored": True} if request.scored else {}),  # where it is not, keys are as they were before
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _complete(reply: ChatReply) -> bool:
    given = reply.logprob is not None or bool(reply.text.strip())
    return reply.failure is None and reply.finish_reason != "length" and given


class _StoredReply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    choice_logprobs: dict[str, float] | None
    usage: tuple[int, int, int]
    finish_reason: str
    logprob: float | None = None

    @model_validator(mode="after")
    def _given(self) -> _StoredReply:
        if not self.text and self.logprob is None:
            raise ValueError("an empty reply")
        return self

    @classmethod
    def dump(cls, reply: ChatReply) -> str:
        usage = (reply.usage.prompt, reply.usage.completion, reply.usage.cached)
        logprobs = None if reply.choice_logprobs is None else dict(reply.choice_logprobs)
        stored = cls(
            text=reply.text,
            choice_logprobs=logprobs,
            usage=usage,
            finish_reason=reply.finish_reason,
            logprob=reply.logprob,
        )
        return json.dumps(stored.model_dump())

    def load(self) -> ChatReply:
        usage = Usage(*self.usage)
        return ChatReply(
            self.text,
            self.choice_logprobs,
            usage,
            self.finish_reason,
            logprob=self.logprob,
            seconds=0.0,
            from_cache=True,
        )

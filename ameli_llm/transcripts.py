"""The transcripts of a run: every request to a model as it was sent, and its reply, in one SQLite file.

``transcripts.sqlite`` has one table, ``transcripts``: ``review`` (its id as in reviews.json) and
``exchanges``, a JSON list compressed by zlib: requests about one review have most of their text in common;
and the ``checksum`` of both.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ameli_llm.checksums import CHECKSUM, add_checksums, checksum_of
from ameli_llm.engines.choices import MASKED
from ameli_llm.engines.engine import ChatReply, ChatRequest, Exchange, Message
from ameli_llm.errors import AmeliError, first_line
from ameli_llm.files import first_error
from ameli_llm.ids import ReviewId, id_key
from ameli_llm.store import is_damaged
from ameli_llm.types import Failure, Link, State, Usage
from ameli_llm.untrusted import MAX_BYTES, read_json

FILE = "transcripts.sqlite"

_COLUMNS = f"review TEXT PRIMARY KEY, exchanges BLOB NOT NULL, {CHECKSUM} INTEGER"
_TABLE = f"CREATE TABLE IF NOT EXISTS transcripts ({_COLUMNS})"


class Transcripts:
    """Writes the transcripts of a run folder; the file appears with the first exchange."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._database: sqlite3.Connection | None = None

    def put(self, links: Iterable[Link]) -> None:
        """Keeps the exchanges of reviews that were linked, in place of earlier ones; all of them or none.

        Raises AmeliError when the file cannot be written.
        """
        kept = ((id_key(link.review_id), _compressed(link.exchanges)) for link in links if link.exchanges)
        rows = [(review, exchanges, checksum_of(review, exchanges)) for review, exchanges in kept]
        if not rows:
            return
        try:
            with self._opened() as database:
                database.executemany("INSERT OR REPLACE INTO transcripts VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            first = "Delete it" if is_damaged(error) else "Make room"
            raise AmeliError(
                f"Cannot write {self._path}: {error}.",
                hint=f"{first} and type the same command again, or add --no-transcripts.",
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = sqlite3.connect(self._path, check_same_thread=False)
            self._database.execute(_TABLE)
            add_checksums(self._database, "transcripts", "review", "exchanges")
        return self._database

    def __enter__(self) -> Transcripts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database is not None:
            self._database.close()


def read_transcript(folder: Path, review: ReviewId) -> list[Exchange]:
    """The exchanges about a review, in the order of sending; none where none were made or kept.

    Raises AmeliError when the file in the run ``folder`` is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    query = "SELECT * FROM transcripts WHERE review = ?"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute(query, (id_key(review),)).fetchone()
        return [] if row is None else _read(id_key(review), *row[1:])
    except (sqlite3.Error, zlib.error, ValueError) as error:
        raise AmeliError(
            f"{path}: review {review}: {first_line(error)}.",
            hint="The run's answers and scores are in other files.",
        ) from error


def _read(review: str, content: object, *checksum: object) -> list[Exchange]:
    """The exchanges of a row; a run of an earlier version has no checksum."""
    if not isinstance(content, bytes):
        raise ValueError("it holds no bytes")
    if checksum not in ((), (checksum_of(review, content),)):
        raise ValueError("its checksum is wrong")
    inflater = zlib.decompressobj()
    text = inflater.decompress(content, MAX_BYTES)
    if inflater.unconsumed_tail:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return from_json(read_json(text))


def _compressed(exchanges: Iterable[Exchange]) -> bytes:
    return zlib.compress(json.dumps(to_json(exchanges), separators=(",", ":"), allow_nan=False).encode())


def to_json(exchanges: Iterable[Exchange]) -> list[dict[str, Any]]:
    """Exchanges as JSON values; a choice that was masked has the least log-probability that JSON can say."""
    return [_Exchange.of(one).model_dump(mode="json") for one in exchanges]


def from_json(content: object) -> list[Exchange]:
    """The exchanges that ``to_json`` wrote. Raises ValueError."""
    try:
        return [one.load() for one in _EXCHANGES.validate_python(content)]
    except ValidationError as error:
        raise ValueError(first_error(error)) from error


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Failed(_Part):
    state: State
    message: str


class _Exchange(_Part):
    """An exchange as JSON; ``tokens`` are prompt, completion and those of the prompt that were cached."""

    asked_by: str
    template: str
    messages: list[tuple[str, str]]
    reply_schema: str | None = Field(description="JSON schema as text: the order of its keys counts")
    choices: list[str]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    completion: bool
    scored: bool = False
    reply: str
    choice_logprobs: dict[str, float] | None
    finish_reason: str
    tokens: tuple[int, int, int]
    seconds: float | None
    from_cache: bool
    failure: _Failed | None
    logprob: float | None = None

    @classmethod
    def of(cls, one: Exchange) -> _Exchange:
        request, reply = one.request, one.reply
        logprobs, failure = reply.choice_logprobs, reply.failure
        return cls(
            asked_by=one.asked_by,
            template=request.template,
            messages=[(message.role, message.content) for message in request.messages],
            reply_schema=None if request.schema is None else json.dumps(request.schema),
            choices=list(request.choices),
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            completion=request.completion,
            scored=request.scored,
            reply=reply.text,
            choice_logprobs=None if logprobs is None else {c: max(v, MASKED) for c, v in logprobs.items()},
            finish_reason=reply.finish_reason,
            tokens=(reply.usage.prompt, reply.usage.completion, reply.usage.cached),
            seconds=reply.seconds,
            from_cache=reply.from_cache,
            failure=_Failed(state=failure.state, message=failure.message) if failure else None,
            logprob=reply.logprob,
        )

    def load(self) -> Exchange:
        request = ChatRequest(
            tuple(Message(role, content) for role, content in self.messages),
            None if self.reply_schema is None else read_json(self.reply_schema),
            tuple(self.choices),
            self.max_tokens,
            self.temperature,
            self.top_p,
            self.seed,
            self.completion,
            self.scored,
            self.template,
        )
        failure = Failure(self.failure.state, self.failure.message) if self.failure else None
        usage = Usage(*self.tokens)
        reply = ChatReply(
            self.reply,
            self.choice_logprobs,
            usage,
            self.finish_reason,
            failure,
            self.logprob,
            self.seconds,
            self.from_cache,
        )
        return Exchange(self.asked_by, request, reply)


_EXCHANGES = TypeAdapter(list[_Exchange])

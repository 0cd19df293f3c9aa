"""What a matrix has sent to models, call by call, in a file that outlives the process; and its budget."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict, Field

from ameli_llm.errors import AmeliError
from ameli_llm.untrusted import read_json

FILE = "sent.jsonl"


class BudgetSpentError(AmeliError):
    """The next call could exceed the tokens that were allowed. Nothing that was paid for is lost."""


class Sent(BaseModel):
    """Calls to a model and the tokens that it counted; ``seconds`` it was busy with any of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    calls: int = Field(0, ge=0)
    prompt: int = Field(0, ge=0)
    completion: int = Field(0, ge=0)
    seconds: float = Field(0.0, ge=0)

    @property
    def tokens(self) -> int:
        """Of prompts and replies together."""
        return self.prompt + self.completion

    def __add__(self, other: Sent) -> Sent:
        return Sent(
            calls=self.calls + other.calls,
            prompt=self.prompt + other.prompt,
            completion=self.completion + other.completion,
            seconds=self.seconds + other.seconds,
        )


class _Line(Sent):
    model: str


class Ledger:
    """Counts calls in ``folder``/sent.jsonl, those of earlier processes too. Threads may share it.

    ``most`` bounds the tokens of all of them together, None does not. Calls that were under way when a
    process was killed are not in it. Raises AmeliError when the file cannot be read.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self.most = most
        self.now = Sent()
        self._path = folder / FILE
        self._by_model = _read(self._path)
        self._free = threading.Condition()
        self._reserved = 0
        self._under_way = 0
        self._since = 0.0
        self._stop: BudgetSpentError | None = None
        self._stream: TextIO | None = None

    @property
    def total(self) -> Sent:
        """All that was sent, by this process (``now``) and earlier ones."""
        return sum(self._by_model.values(), Sent())

    def of(self, model: str) -> Sent:
        """What was sent to one model."""
        return self._by_model.get(model, Sent())

    def reserve(self, calls: Sequence[int]) -> int:
        """Begins as many of these ``calls``, each by the most tokens it can take, as fit: at least the first.

        Where those under way may still leave room for it, it waits for them. Raises BudgetSpentError when it
        does not fit, and from then on for every call.
        """
        with self._free:
            while not (fitting := self._fitting(calls)):
                if not self._under_way:
                    self._stop = self._stop or BudgetSpentError(
                        f"The next call could take {calls[0]} tokens, and {self.total.tokens} of "
                        f"{self.most} are spent.",
                        hint="The same command with a higher --max-tokens-total goes on.",
                    )
                self.check()
                self._free.wait()
            if not self._under_way:
                self._since = time.perf_counter()
            self._under_way += 1
            self._reserved += sum(calls[:fitting])
            return fitting

    def check(self) -> None:
        """Raises BudgetSpentError when a call did not fit."""
        if self._stop is not None:
            raise self._stop

    def _fitting(self, calls: Sequence[int]) -> int:
        if self._stop is not None:
            return 0
        if self.most is None:
            return len(calls)
        room = self.most - self.total.tokens - self._reserved
        return sum(1 for needed in itertools.accumulate(calls) if needed <= room)

    def settle(self, tokens: int, model: str, sent: Sent) -> None:
        """Ends calls that ``reserve`` began for ``tokens`` in all, with what they took. Raises AmeliError."""
        with self._free:
            now = time.perf_counter()
            line = _Line(**{**sent.model_dump(), "seconds": round(now - self._since, 6)}, model=model)
            self._since = now
            self._under_way -= 1
            self._reserved -= tokens
            self._by_model[model] = self.of(model) + line
            self.now += line
            self._free.notify_all()
            self._write(line)

    def close(self) -> None:
        """Closes the file; idempotent."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def _write(self, line: _Line) -> None:
        try:
            if self._stream is None:
                torn = self._path.is_file() and not self._path.read_bytes().endswith(b"\n")
                self._stream = self._path.open("a", encoding="utf-8")
                self._stream.write("\n" if torn else "")
            self._stream.write(line.model_dump_json() + "\n")
            self._stream.flush()
        except OSError as error:
            raise AmeliError(f"Cannot write {self._path}: {error.strerror}.") from error


def _read(path: Path) -> dict[str, Sent]:
    """What was sent by model; a line that was torn by a kill says nothing."""
    found: dict[str, Sent] = {}
    try:
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from error
    for text in lines:
        try:
            line = _Line.model_validate(read_json(text))
        except ValueError:
            continue
        found[line.model] = found.get(line.model, Sent()) + line
    return found

"""Reviews as JSON lines in, links as JSON lines out: a line is answered before the next one has to come."""

from __future__ import annotations

import json
import os
import select
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from ameli_llm.dataset.objects import read_review
from ameli_llm.errors import AmeliError
from ameli_llm.runs import PredictionRow
from ameli_llm.types import Link, Review, State
from ameli_llm.untrusted import read_json

MAX_LINE = 4 << 20
"""Most bytes of a line."""

_CHUNK = 1 << 16
_FAILED = frozenset({State.ENGINE_ERROR, State.INVALID_OUTPUT})


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank, by its number from 1; without a text it was longer than ``MAX_LINE``."""

    number: int
    text: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a line is answered with; ``good`` unless it was wrong or a model failed on it."""

    text: str
    good: bool


@dataclass(frozen=True, slots=True)
class Tally:
    """How many lines there were, and how many of them were not good."""

    lines: int
    failed: int


class LineReader:
    """Lines of a file descriptor as they come; holds at most one line and one read of it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._rest = bytearray()
        self._skipping = False
        self._number = 0
        self._lines: deque[Line] = deque()

    def __len__(self) -> int:
        return len(self._lines)

    def take(self, most: int) -> list[Line]:
        """The next lines that are there, at most ``most``; waits for none."""
        return [self._lines.popleft() for _ in range(min(most, len(self._lines)))]

    def fill(self) -> None:
        """Reads once what is there, waiting for something. What follows the last newline is a line too."""
        chunk = os.read(self.descriptor, _CHUNK)
        self.ended = not chunk
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._rest += part
            self._end_line()
        self._rest += rest
        if len(self._rest) > MAX_LINE:
            self._skipping = True
            self._rest.clear()
        if self.ended and (self._rest or self._skipping):
            self._end_line()

    def _end_line(self) -> None:
        self._number += 1
        long = self._skipping or len(self._rest) > MAX_LINE
        if long or self._rest.strip():
            self._lines.append(Line(self._number, None if long else bytes(self._rest)))
        self._rest.clear()
        self._skipping = False


def answer_lines(
    descriptor: int,
    link: Callable[[Sequence[Review]], list[Link]],
    write: Callable[[str], None],
    *,
    batch_size: int,
    workers: int,
) -> Tally:
    """Answers each line of ``descriptor`` that is not blank, in order, as soon as it is linked.

    A line is a review as ``read_review`` takes it, with the line's number as its id if it has none. What is
    already there is linked together, up to ``batch_size`` lines, ``workers`` of such batches at a time;
    nothing more is read before there is room. The answer has the keys of ``predictions.jsonl``; for a line
    that is wrong or cannot be linked, ``line`` and ``error``. Raises what ``write`` raises.
    """
    reader = LineReader(descriptor)
    running: deque[Future[list[Answer]]] = deque()
    lines = failed = 0
    with _Bell() as bell, ThreadPoolExecutor(max_workers=workers) as pool:
        while True:
            while running and running[0].done():
                for answer in running.popleft().result():
                    write(answer.text)
                    lines, failed = lines + 1, failed + (not answer.good)
            while len(running) < workers and (batch := reader.take(batch_size)):
                running.append(pool.submit(_answers, batch, link))
                running[-1].add_done_callback(bell.ring)
            wanting = not reader.ended and not len(reader)
            if not running and not wanting:
                return Tally(lines, failed)
            if bell.wait(reader.descriptor if wanting else None):
                reader.fill()


def _answers(lines: Sequence[Line], link: Callable[[Sequence[Review]], list[Link]]) -> list[Answer]:
    """An answer for each line, in order."""
    answers: dict[int, Answer] = {}
    reviews: dict[int, Review] = {}
    for line in lines:
        try:
            reviews[line.number] = _review(line)
        except (AmeliError, ValueError) as error:
            answers[line.number] = _error(line.number, error)
    answers |= _linked(reviews, link)
    return [answers[line.number] for line in lines]


def _review(line: Line) -> Review:
    if line.text is None:
        raise ValueError(f"longer than {MAX_LINE} bytes")
    return read_review(read_json(line.text, max_bytes=MAX_LINE), default_id=line.number)


def _linked(reviews: dict[int, Review], link: Callable[[Sequence[Review]], list[Link]]) -> dict[int, Answer]:
    """Answers by line; when they cannot be linked together, each by itself."""
    if not reviews:
        return {}
    try:
        links = link(list(reviews.values()))
    except AmeliError as error:
        if len(reviews) == 1:
            return {number: _error(number, error) for number in reviews}
        alone = (_linked({number: review}, link) for number, review in reviews.items())
        return {number: answer for answers in alone for number, answer in answers.items()}
    return {
        number: Answer(PredictionRow.of(one).model_dump_json(), one.state not in _FAILED)
        for number, one in zip(reviews, links, strict=True)
    }


def _error(number: int, error: Exception) -> Answer:
    return Answer(json.dumps({"line": number, "error": str(error)}), False)


class _Bell:
    """Wakes the thread that waits for input when a future is done."""

    def __enter__(self) -> _Bell:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._read)
        os.close(self._write)

    def ring(self, future: Future[list[Answer]]) -> None:
        """Called by the thread that has done ``future``."""
        with suppress(BlockingIOError):  # full: it rings anyway
            os.write(self._write, b".")

    def wait(self, descriptor: int | None) -> bool:
        """Waits for the bell or for input; whether there is input, or its end, on ``descriptor``."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        ready = {number for number, _ in poll.poll()}
        if self._read in ready:
            os.read(self._read, _CHUNK)
        return descriptor in ready

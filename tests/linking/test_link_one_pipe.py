"""link-one as a pipe: each line is answered before the next one has to come, a wrong one is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ameli_llm import json_lines
from ameli_llm.errors import AmeliError
from ameli_llm.json_lines import MAX_LINE, LineReader, Tally, answer_lines
from ameli_llm.types import Link, Review, State
from tests.command import running


def linked(reviews: Sequence[Review]) -> list[Link]:
    """Stands for the linker where only reading and writing is tested: bodies decide."""
    if any(review.body == "unlinkable" for review in reviews):
        raise AmeliError("cannot be linked")
    states = {"down": State.ENGINE_ERROR}
    return [Link(review.id, states.get(review.body, State.NIL)) for review in reviews]


def pipe(content: bytes) -> int:
    """The end to read of a pipe that gets ``content`` and ends."""
    read, write = os.pipe()

    def feed() -> None:
        with os.fdopen(write, "wb") as stream:
            stream.write(content)

    threading.Thread(target=feed, daemon=True).start()
    return read


def answers(content: bytes, link: Any = linked, **options: int) -> tuple[list[Any], Tally]:
    found: list[Any] = []
    descriptor = pipe(content)
    try:
        sizes = {"batch_size": 3, "workers": 2} | options
        tally = answer_lines(descriptor, link, lambda text: found.append(json.loads(text)), **sizes)
    finally:
        os.close(descriptor)
    return found, tally


def shown(found: list[Any]) -> list[Any]:
    return [one["error"] if "error" in one and "line" in one else one["review_id"] for one in found]


LONG = b'{"body": "' + b"x" * MAX_LINE + b'"}'


@pytest.mark.parametrize(
    ("content", "expected", "failed"),
    [
        (b"", [], 0),
        (b"\n \n\n", [], 0),
        (b'{"body": "a"}', [1], 0),
        (b'{"body": "a"}\n{"id": "x"}\r\n\n{"id": 7}\n{}\n', [1, "x", 7, 5], 0),
        (b"nope\n{}\n", ["not JSON: Expecting value, line 1 column 1", 2], 1),
        (b"[]\n{}\n", ["review: must be an object, found list.", 2], 1),
        (b'{"body": NaN}\n{}\n', ["NaN is no JSON number", 2], 1),
        (b'\xff"\n{}\n', ["not UTF-8: byte 0", 2], 1),
        (b"[" * 100_000 + b"\n{}\n", ["nested more than 64 deep", 2], 1),
        (LONG + b"\n{}\n" + LONG, [f"longer than {MAX_LINE} bytes", 2, f"longer than {MAX_LINE} bytes"], 2),
        (b'{"images": "none.png"}\n{}\n', ["Image none.png: missing (No such file or directory).", 2], 1),
        (b'{"body": "down"}\n{}\n', [1, 2], 1),
        (b'{}\n{"body": "unlinkable"}\n{}\n', [1, "cannot be linked", 3], 1),
    ],
)
def test_lines_and_their_answers(content: bytes, expected: list[Any], failed: int) -> None:
    found, tally = answers(content)
    assert shown(found) == expected
    assert tally == Tally(len(expected), failed)


def test_a_wrong_field_is_named() -> None:
    ((error,), _) = answers(b'{"id": 1, "text": "x"}\n')
    assert error == {"line": 1, "error": error["error"]}
    assert "text" in error["error"]
    assert "mention" in error["error"], "the keys that it may have"


@pytest.mark.parametrize("workers", [1, 4])
def test_order_is_kept_and_batches_are_bounded(workers: int) -> None:
    sizes: list[int] = []

    def link(reviews: Sequence[Review]) -> list[Link]:
        sizes.append(len(reviews))
        time.sleep(0.02 if len(sizes) % 3 == 0 else 0.0)
        return linked(reviews)

    content = b"".join(b'{"body": "%d"}\n' % number for number in range(200))
    found, tally = answers(content, link, batch_size=7, workers=workers)
    assert shown(found) == list(range(1, 201))
    assert tally == Tally(200, 0)
    assert max(sizes) <= 7
    assert sum(sizes) == 200


def test_nothing_is_read_before_there_is_room() -> None:
    read, write = os.pipe()
    gate = threading.Event()

    def link(reviews: Sequence[Review]) -> list[Link]:
        gate.wait(20)
        return linked(reviews)

    found: list[str] = []
    thread = threading.Thread(target=lambda: answer_lines(read, link, found.append, batch_size=2, workers=1))
    thread.start()
    os.set_blocking(write, False)
    line = b'{"body": "' + b"x" * 1000 + b'"}\n'
    sent, deadline = 0, time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            sent += os.write(write, line)
        except BlockingIOError:
            time.sleep(0.05)
    assert sent < 1 << 20, "the pipe's own buffer and what is read at once, no more"
    gate.set()
    os.close(write)
    thread.join(30)
    assert not thread.is_alive()
    assert len(found) >= sent // len(line)
    os.close(read)


def test_a_line_in_pieces_is_one_line() -> None:
    read, write = os.pipe()
    reader = LineReader(read)
    for piece in (b'{"bo', b'dy": "a"}\n{"body"', b': "b"}'):
        os.write(write, piece)
        reader.fill()
    assert [line.text for line in reader.take(5)] == [b'{"body": "a"}']
    os.close(write)
    reader.fill()
    assert reader.ended
    assert [(line.number, line.text) for line in reader.take(5)] == [(2, b'{"body": "b"}')]
    os.close(read)


def test_a_reader_that_has_gone_ends_it() -> None:
    def gone(text: str) -> None:
        raise BrokenPipeError

    descriptor = pipe(b"{}\n" * 100)
    with pytest.raises(BrokenPipeError):
        answer_lines(descriptor, linked, gone, batch_size=3, workers=2)
    os.close(descriptor)


@pytest.fixture(scope="module")
def begin(cache: Path, dataset: Path, index: Any, cheap: tuple[str, ...]) -> Iterator[Callable[[], Any]]:
    """begin(): the command over the twin, waiting for lines."""
    words = ("link-one", dataset, *cheap)
    with ExitStack() as stack:
        yield lambda: stack.enter_context(running(*words, stdin=subprocess.PIPE, AMELI_LLM_CACHE=str(cache)))


def exchange(process: subprocess.Popen[str], line: str) -> Any:
    """The answer to a line, behind which nothing comes yet."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_a_slow_producer_has_each_answer_before_the_next_line(begin: Callable[[], Any]) -> None:
    process = begin()
    first = exchange(process, '{"id": "a-1", "body": "A red one"}')
    assert (first["review_id"], first["error"], len(first["candidates"]) > 1) == ("a-1", None, True)
    assert exchange(process, "nope") == {"line": 2, "error": "not JSON: Expecting value, line 1 column 1"}
    assert exchange(process, '{"body": "A blue one"}')["review_id"] == 3
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 1)
    assert err.splitlines()[-1] == "1 of 3 lines were wrong or failed."


def test_ctrl_c_and_a_reader_that_has_gone_are_quiet(begin: Callable[[], Any]) -> None:
    interrupted = begin()
    assert exchange(interrupted, "{}")["review_id"] == 1
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(60) == 130
    assert interrupted.stderr.read() == "interrupted\n"

    left = begin()
    assert exchange(left, "{}")["review_id"] == 1
    left.stdout.close()
    left.stdin.write("{}\n")
    left.stdin.close()
    assert left.wait(60) == 141
    assert left.stderr.read() == ""


def test_the_limit_is_that_of_a_review() -> None:
    assert json_lines.MAX_LINE >= 100 * 20_000, "the extractors read 20,000 characters of a field"

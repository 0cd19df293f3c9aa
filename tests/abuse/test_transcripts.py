"""The transcripts of a run, damaged: a review's exchanges come back whole, or the file is named."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ameli_llm.engines.engine import ChatReply, ChatRequest, Exchange, Message
from ameli_llm.errors import AmeliError
from ameli_llm.transcripts import FILE, Transcripts, read_transcript
from ameli_llm.types import Link, State, Usage
from tests.abuse.damage import damaged

REVIEWS = range(1, 61)


def exchanges(review: int) -> list[Exchange]:
    """Some take a page of the file, some several."""
    draw = random.Random(review)
    text = f"Review {review}: {draw.randbytes(30 * review if review % 5 else 6000).hex()}"
    request = ChatRequest((Message("user", text),), template="compare/listwise")
    return [Exchange("listwise", request, ChatReply("A", None, Usage(9, 1, 0), "stop", seconds=0.1))]


def link(review: int) -> Link:
    return Link(review, State.LINKED, 1, 0.5, exchanges=tuple(exchanges(review)))


def survive(folder: Path, times: int) -> int:
    """How many of so many damaged files gave all transcripts back."""
    with Transcripts(folder) as kept:
        kept.put(map(link, REVIEWS))
    content, draw, whole = (folder / FILE).read_bytes(), random.Random(7), 0
    for _ in range(times):
        what, changed = damaged(content, draw)
        (folder / FILE).write_bytes(changed)
        found = {review: read(folder, review) for review in REVIEWS}
        for review, one in found.items():
            complaint = f"{folder / FILE}: review {review}: "
            assert one in ([], exchanges(review)) or str(one).startswith(complaint), what
        whole += all(isinstance(one, list) and one for one in found.values())
    return whole


def read(folder: Path, review: int) -> list[Exchange] | str:
    """The exchanges, or why there are none."""
    try:
        return read_transcript(folder, review)
    except AmeliError as error:
        return str(error)


def test_damaged(tmp_path: Path) -> None:
    assert 0 < survive(tmp_path, 40) < 40


@pytest.mark.slow
def test_damaged_at_size(tmp_path: Path) -> None:
    assert 0 < survive(tmp_path, 500) < 500

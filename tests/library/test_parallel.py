"""Streams in batches, and bounded calls on them, in threads and in asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ameli_llm.parallel import abatched, aenumerate, ain_parallel, batched, in_parallel


class BrokenSource(Exception):
    pass


def breaking(*items: int) -> Iterator[int]:
    yield from items
    raise BrokenSource


async def later(*items: int, broken: bool = False) -> AsyncIterator[int]:
    for item in items:
        await asyncio.sleep(0)
        yield item
    if broken:
        raise BrokenSource


def collected(source: Iterator[Any]) -> tuple[list[Any], bool]:
    """What comes, and whether the source broke behind it."""
    found: list[Any] = []
    try:
        for item in source:
            found.append(item)  # noqa: PERF402
    except BrokenSource:
        return found, True
    return found, False


async def acollected(source: AsyncIterator[Any]) -> tuple[list[Any], bool]:
    found: list[Any] = []
    try:
        async for item in source:
            found.append(item)  # noqa: PERF401
    except BrokenSource:
        return found, True
    return found, False


@pytest.mark.parametrize(
    ("items", "broken", "batches"),
    [
        ((), False, []),
        ((1,), False, [[1]]),
        ((1, 2), False, [[1, 2]]),
        ((1, 2, 3, 4, 5), False, [[1, 2], [3, 4], [5]]),
        ((1, 2, 3), True, [[1, 2], [3]]),
        ((1, 2), True, [[1, 2]]),
    ],
)
def test_batches(items: tuple[int, ...], broken: bool, batches: list[list[int]]) -> None:
    source = breaking(*items) if broken else iter(items)
    assert collected(batched(source, 2)) == (batches, broken)
    assert asyncio.run(acollected(abatched(later(*items, broken=broken), 2))) == (batches, broken)


def slow_first(item: int) -> int:
    time.sleep(0.5 if item == 1 else 0.0)
    return -item


def test_results_in_order_or_as_they_come() -> None:
    assert list(in_parallel(slow_first, [1, 2, 3], 2, ordered=True)) == [-1, -2, -3]
    assert list(in_parallel(slow_first, [1, 2], 2)) == [-2, -1]
    assert asyncio.run(acollected(ain_parallel(slow_first, later(1, 2, 3), 2))) == ([-1, -2, -3], False)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_what_comes_before_a_broken_source_is_handed_out(workers: int) -> None:
    assert collected(in_parallel(slow_first, breaking(1, 2, 3), workers, ordered=True)) == (
        [-1, -2, -3],
        True,
    )
    found = asyncio.run(acollected(ain_parallel(slow_first, later(1, 2, 3, broken=True), workers)))
    assert found == ([-1, -2, -3], True)


@pytest.mark.parametrize("workers", [1, 3])
def test_items_are_taken_when_there_is_room(workers: int) -> None:
    taken: list[int] = []
    most = 0
    lock = threading.Lock()
    under_way = 0

    def source() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    def call(item: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.005)
        with lock:
            under_way -= 1
        return item

    results = in_parallel(call, source(), workers, ordered=True)
    assert taken == [], "nothing before the first result is asked for"
    for number, result in enumerate(results):
        assert result == number
        assert len(taken) <= number + workers
    assert most == workers


def test_a_failing_call_ends_the_stream() -> None:
    def call(item: int) -> int:
        if item == 2:
            raise BrokenSource
        return item

    assert collected(in_parallel(call, range(5), 2, ordered=True)) == ([0, 1], True)
    assert asyncio.run(acollected(ain_parallel(call, later(*range(5)), 2))) == ([0, 1], True)


def test_enumerates_both_kinds() -> None:
    pairs = [(1, 5), (2, 7)]
    assert asyncio.run(acollected(aenumerate([5, 7], 1))) == (pairs, False)
    assert asyncio.run(acollected(aenumerate(later(5, 7), 1))) == (pairs, False)

"""Streams cut into batches, and calls on them from several threads with a bounded number under way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def batched(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Lists of ``size`` items, the last one shorter; if ``items`` raises, what it gave before comes first."""
    batch: list[ItemT] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


async def aenumerate(
    items: Iterable[ItemT] | AsyncIterable[ItemT], start: int = 0
) -> AsyncIterator[tuple[int, ItemT]]:
    """As ``enumerate``; of items that are not asynchronous too."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield start, item
            start += 1
    else:
        for pair in enumerate(items, start):
            yield pair


async def abatched(items: AsyncIterator[ItemT], size: int) -> AsyncIterator[list[ItemT]]:
    """As ``batched``."""
    batch: list[ItemT] = []
    try:
        async for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def in_parallel(
    call: Callable[[ItemT], ResultT], items: Iterable[ItemT], workers: int, *, ordered: bool = False
) -> Generator[ResultT, None, None]:
    """Results as they come or, ``ordered``, in the order of ``items``; at most ``workers`` calls under way.

    An item is taken when there is room for it. When ``items`` raises, the results of what it gave before come
    first. When a call raises, or the iterator is closed, calls that have not begun are cancelled.
    """
    with ThreadPoolExecutor(max_workers=workers) as pool:
        running: deque[Future[ResultT]] = deque()
        failure: Exception | None = None
        source = iter(items)
        try:
            while True:
                try:
                    item = next(source)
                except StopIteration:
                    break
                except Exception as error:
                    failure = error
                    break
                running.append(pool.submit(call, item))
                if len(running) >= workers:
                    yield _take(running, ordered).result()
            while running:
                yield _take(running, ordered).result()
        finally:
            for future in running:
                future.cancel()
    if failure is not None:
        raise failure


async def ain_parallel(
    call: Callable[[ItemT], ResultT], items: AsyncIterator[ItemT], workers: int
) -> AsyncIterator[ResultT]:
    """As ``in_parallel``, ordered, with the calls in threads of the event loop's executor."""
    running: deque[asyncio.Task[ResultT]] = deque()
    failure: Exception | None = None
    try:
        while True:
            try:
                item = await anext(items)
            except StopAsyncIteration:
                break
            except Exception as error:
                failure = error
                break
            running.append(asyncio.create_task(asyncio.to_thread(call, item)))
            if len(running) >= workers:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failure is not None:
        raise failure


def _take(running: deque[Future[ResultT]], ordered: bool) -> Future[ResultT]:
    """Removes the first one, which may not be done yet, or the first that is done, waiting for that."""
    if ordered:
        return running.popleft()
    done = wait(running, return_when=FIRST_COMPLETED).done
    first = next(future for future in running if future in done)
    running.remove(first)
    return first

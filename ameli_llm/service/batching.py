"""Work that arrives one by one and is done together: a bounded queue, and threads that take from it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_SLOWEST_RETRY = 60


class FullError(Exception):
    """There is no room in the queue; ``retry_after`` is when there may be, in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[ItemT, ResultT]):
    item: ItemT
    result: asyncio.Future[ResultT]


class Batcher(Generic[ItemT, ResultT]):
    """Collects what several requests submit and hands it to ``work``, at most ``size`` items at once.

    ``work`` runs in one of ``workers`` threads; it gives a result for each item, or an exception in its
    place. At most ``room`` items wait. A batch that is not full waits ``gather`` seconds for others.
    ``finished`` is called with each item when nobody works at it any more, whether it was done or not:
    one whose future was cancelled while it waited is left out.
    """

    def __init__(
        self,
        work: Callable[[Sequence[ItemT]], Sequence[ResultT | Exception]],
        *,
        size: int,
        workers: int = 1,
        room: int,
        gather: float = 0.0,
        finished: Callable[[ItemT], None] = lambda item: None,
    ) -> None:
        self._work = work
        self._size = size
        self._workers = workers
        self._room = room
        self._gather = gather
        self._finished = finished
        self._pace = 0.0
        self._queue: asyncio.Queue[_Waiting[ItemT, ResultT]] = asyncio.Queue()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batch")
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Items that no thread has taken yet."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begins to take from the queue, in the running event loop."""
        self._tasks = [asyncio.create_task(self._serve()) for _ in range(self._workers)]

    def submit(self, items: Sequence[ItemT]) -> list[asyncio.Future[ResultT]]:
        """A future for each item; all of them wait from now on, or none. Raises FullError."""
        if self.waiting + len(items) > self._room:
            seconds = math.ceil(self._pace * self.waiting / self._workers)
            raise FullError(min(max(1, seconds), _SLOWEST_RETRY))
        loop = asyncio.get_running_loop()
        waiting: list[_Waiting[ItemT, ResultT]] = [_Waiting(item, loop.create_future()) for item in items]
        for one in waiting:
            self._queue.put_nowait(one)
        return [one.result for one in waiting]

    async def stop(self) -> None:
        """Finishes what waits, then ends the threads."""
        await self._queue.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown()

    async def _serve(self) -> None:
        while True:
            batch = await self._collect()
            try:
                await self._do([one for one in batch if not one.result.done()])
            finally:
                for one in batch:
                    self._finished(one.item)
                    self._queue.task_done()

    async def _collect(self) -> list[_Waiting[ItemT, ResultT]]:
        batch = [await self._queue.get()]
        if self._gather and self.waiting < self._size - 1:
            await asyncio.sleep(self._gather)
        while len(batch) < self._size and self.waiting:
            batch.append(self._queue.get_nowait())
        return batch

    async def _do(self, batch: Sequence[_Waiting[ItemT, ResultT]]) -> None:
        if not batch:
            return
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        results: Sequence[ResultT | Exception]
        try:
            results = await loop.run_in_executor(self._pool, self._work, [one.item for one in batch])
        except Exception as error:  # a fault of the work itself: whoever waits has to hear of it
            results = [error] * len(batch)
        share = (time.perf_counter() - began) / len(batch)
        self._pace = share if not self._pace else 0.8 * self._pace + 0.2 * share
        for one, result in zip(batch, results, strict=True):
            if one.result.done():  # its request has given up meanwhile
                continue
            if isinstance(result, Exception):
                one.result.set_exception(result)
            else:
                one.result.set_result(result)

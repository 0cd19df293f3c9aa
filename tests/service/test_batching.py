"""The queue: what arrives together is done together, what does not fit is refused, a stop finishes all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from ameli_llm.service.batching import Batcher, FullError


class Work:
    """Doubles numbers once it is let go; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.begun = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.go.wait(10)
        return [ValueError(str(item)) if item < 0 else 2 * item for item in items]

    async def busy(self) -> None:
        await asyncio.to_thread(self.begun.wait, 10)


def test_what_waits_goes_together_in_order_up_to_the_size() -> None:
    async def run() -> tuple[list[int], list[list[int]]]:
        work = Work()
        batcher = Batcher[int, int](work, size=3, room=10)
        batcher.start()
        futures = batcher.submit([1])
        await work.busy()
        futures += [one for number in (2, 3, 4, 5) for one in batcher.submit([number])]
        work.go.set()
        results = await asyncio.gather(*futures)
        await batcher.stop()
        return results, work.batches

    assert asyncio.run(run()) == ([2, 4, 6, 8, 10], [[1], [2, 3, 4], [5]])


def test_a_batch_waits_a_moment_for_others() -> None:
    async def run() -> list[list[int]]:
        work = Work()
        work.go.set()
        batcher = Batcher[int, int](work, size=3, room=10, gather=0.2)
        batcher.start()
        one = batcher.submit([1])
        await asyncio.sleep(0.02)
        await asyncio.gather(*one, *batcher.submit([2]))
        await batcher.stop()
        return work.batches

    assert asyncio.run(run()) == [[1, 2]]


def test_all_items_of_a_request_fit_or_none_waits() -> None:
    async def run() -> None:
        work = Work()
        batcher = Batcher[int, int](work, size=1, room=3)
        batcher.start()
        futures = batcher.submit([1])
        await work.busy()
        futures += batcher.submit([2, 3])
        with pytest.raises(FullError) as full:
            batcher.submit([4, 5])
        assert (batcher.waiting, full.value.retry_after) == (2, 1)
        futures += batcher.submit([6])
        work.go.set()
        assert await asyncio.gather(*futures) == [2, 4, 6, 12]
        await batcher.stop()

    asyncio.run(run())


def test_what_nobody_waits_for_is_left_out_and_finished_all_the_same() -> None:
    async def run() -> tuple[list[list[int]], list[int]]:
        work, finished = Work(), list[int]()
        batcher = Batcher[int, int](work, size=9, room=9, finished=finished.append)
        batcher.start()
        (first,) = batcher.submit([1])
        await work.busy()
        second, third = batcher.submit([2, 3])
        first.cancel()
        second.cancel()
        assert finished == []  # 1 is still being worked at
        work.go.set()
        assert await third == 6
        await batcher.stop()
        return work.batches, finished

    assert asyncio.run(run()) == ([[1], [3]], [1, 2, 3])


def test_a_failure_is_of_its_item_and_a_fault_of_all() -> None:
    async def run() -> list[object]:
        work = Work()
        work.go.set()
        batcher = Batcher[int, int](work, size=9, room=9)
        batcher.start()
        results: list[object] = await asyncio.gather(*batcher.submit([1, -2]), return_exceptions=True)
        await batcher.stop()
        broken = Batcher[int, int](lambda items: [1 // 0], size=9, room=9)
        broken.start()
        results += await asyncio.gather(*broken.submit([1, 2]), return_exceptions=True)
        assert await asyncio.gather(*broken.submit([3]), return_exceptions=True) != []
        await broken.stop()
        return results

    assert [type(one) for one in asyncio.run(run())] == [
        int,
        ValueError,
        ZeroDivisionError,
        ZeroDivisionError,
    ]


def test_a_stop_finishes_what_waits() -> None:
    async def run() -> list[int]:
        work = Work()
        batcher = Batcher[int, int](work, size=1, room=9)
        batcher.start()
        futures = batcher.submit([1, 2, 3])
        stopping = asyncio.create_task(batcher.stop())
        await work.busy()
        work.go.set()
        await stopping
        return [future.result() for future in futures]

    assert asyncio.run(run()) == [2, 4, 6]

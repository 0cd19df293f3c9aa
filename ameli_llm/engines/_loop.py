"""An event loop in a thread of its own: what many threads ask of servers goes through it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from ameli_llm.errors import AmeliError

T = TypeVar("T")


class Loop:
    """Runs coroutines for other threads until it is closed; ``name`` is the engine's, for messages."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._closing = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` comes to. Raises AmeliError when the loop is closed before or meanwhile."""
        with self._closing:
            if self._closed:
                work.close()
                raise AmeliError(f"The engine {self._name} is closed.")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise AmeliError(f"The engine {self._name} was closed before the answer came.") from None

    def close(self, last: Callable[[], Awaitable[object]]) -> None:
        """Cancels what is under way, runs ``last`` and ends the thread; a second call does nothing."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            asyncio.run_coroutine_threadsafe(_shut(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _shut(last: Callable[[], Awaitable[object]]) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await last()

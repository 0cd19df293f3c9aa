"""What several share until it is closed, by one who waits for the others or by the last one to leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ameli_llm.errors import AmeliError


class Holders:
    """Counts who holds a thing, so that the last to leave can close it; one holds it from the start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 1

    def join(self) -> None:
        """One more holds it."""
        with self._lock:
            self._count += 1

    def leave(self) -> bool:
        """One less holds it; whether that was the last one."""
        with self._lock:
            self._count -= 1
            return self._count == 0


class Shared:
    """Counts who uses a thing, which ``close`` closes; ``name`` is what a message calls it."""

    def __init__(self, name: str, close: Callable[[], None]) -> None:
        self._name = name
        self._close = close
        self._changed = threading.Condition()
        self._users = 0
        self._closed = False

    def require_open(self) -> None:
        """Raises AmeliError when it is closed, or about to be."""
        if self._closed:
            raise AmeliError(
                f"The {self._name} is closed.", hint="Use it inside its with block, or open another one."
            )

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps it open until the end of the block. Raises AmeliError when it is closed."""
        with self._changed:
            self.require_open()
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Closes it when the last block has ended; none begins meanwhile. A second call does nothing."""
        with self._changed:
            closed, self._closed = self._closed, True
            self._changed.wait_for(lambda: not self._users)
            if not closed:
                self._close()

"""Reading many records without Python's search for reference cycles, which they have none of."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_cycle_search() -> Iterator[None]:
    """While the block runs, nothing is looked through again and again that only grows.

    The search would take most of the time of reading a run, and much of that of loading a large KB.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

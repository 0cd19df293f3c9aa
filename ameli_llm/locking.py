"""One process at a time: locks on files, which the system lets go of even when their holder is killed."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ameli_llm.errors import AmeliError

log = logging.getLogger(__name__)


@contextmanager
def held(path: Path, doing: str, *, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of the file ``path``, which is made when missing; yields whether it had to wait for it.

    While another process holds it, waits for as long as that takes (Ctrl-C ends it) and logs what the other
    one is ``doing``; without ``wait`` raises AmeliError at once. Raises OSError when the file cannot be made.
    """
    with path.open("a", encoding="ascii") as stream:
        waits = not _taken(stream, fcntl.LOCK_EX)
        if waits and not wait:
            raise AmeliError(f"Another process is {doing}.", hint="Wait until it is done, then try again.")
        if waits:
            _wait(stream, fcntl.LOCK_EX, doing)
        yield waits


def waited(path: Path, doing: str) -> bool:
    """Waits as ``held`` until no other process holds the lock of ``path``; False when none did."""
    try:
        with path.open(encoding="ascii") as stream:
            if _taken(stream, fcntl.LOCK_SH):
                return False
            _wait(stream, fcntl.LOCK_SH, doing)
            return True
    except OSError:
        return False


def _taken(stream: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(stream: IO[str], kind: int, doing: str) -> None:
    log.warning("Another process is %s; waiting until it is done.", doing)
    fcntl.flock(stream, kind)

"""Ctrl-C and SIGTERM: a command ends with one line that says how far it came and what to type."""

from __future__ import annotations

import concurrent.futures.thread
import logging
import queue
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

GOES_ON: Final = "the same command goes on"
ANEW: Final = "the same command starts anew"

_GRACE: Final = 0.5
"""Seconds within which ``safe_point`` may be reached before a command is stopped wherever it is."""

_LOOK_AGAIN: Final = 0.02
"""Seconds after which it is stopped if it was at a place where it cannot be."""

_LOCKING: Final = (threading, queue, logging, weakref, concurrent.futures.thread, concurrent.futures._base)

_UNSAFE: Final = frozenset({__file__, *(module.__file__ for module in _LOCKING)})
"""Where an exception out of the blue can leave a lock taken for ever, or is swallowed.

The handlers below are among them: what they interrupted may be.
"""


class Interrupted(BaseException):
    """A signal has arrived; a BaseException, so that nothing between takes it for an error of its own.

    ``reached`` is the stage and count that progress showed last, ``then`` what the same command would do.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.reached = ""
        self.then = ""

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, as a shell counts."""
        return 128 + self.number

    def __str__(self) -> str:
        reached = f" at {self.reached}" if self.reached else ""
        return f"interrupted{reached}{'; ' if self.then else ''}{self.then}"


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it, the first Ctrl-C or SIGTERM raises Interrupted, and a second one ends the process at once.

    It is raised by the next ``safe_point`` or, where none comes soon, in the midst of what goes on. A signal
    that is ignored (nohup, a background job) stays so. Only a main thread can be interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    timer = signal.getitimer(signal.ITIMER_REAL)
    for number in (signal.SIGINT, signal.SIGTERM):
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _arrive)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # first: none may arm the timer after it was reset
            signal.signal(number, before[number])
        _arrived.clear()
        if signal.getsignal(signal.SIGALRM) is not before[signal.SIGALRM]:
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, before[signal.SIGALRM])


def safe_point() -> None:
    """Raises Interrupted, once, when a signal has arrived: a place where nothing is left half done.

    Only in the main thread, so that others may pass it.
    """
    if _arrived and threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Interrupted(_arrived.pop())


_arrived: Final[list[int]] = []
"""Signals that came and were not raised yet; of the process, as their handlers are."""


def _arrive(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    _arrived.append(number)
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, _GRACE)


def _stop(_: int, frame: FrameType | None) -> None:
    """Raises Interrupted where the command is; at an unsafe place only when it waits there."""
    if frame is None or frame.f_code.co_filename not in _UNSAFE:
        safe_point()
        return
    seen = frame.f_lasti

    def look_again(number: int, now: FrameType | None) -> None:
        if now is frame and now.f_lasti == seen:
            safe_point()
        _stop(number, now)

    signal.signal(signal.SIGALRM, look_again)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_AGAIN)

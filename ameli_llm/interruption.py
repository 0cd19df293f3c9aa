"""Ctrl-C and SIGTERM: a command ends with one line that says how far it came and what to type."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

GOES_ON: Final = "the same command goes on"
ANEW: Final = "the same command starts anew"


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

    A signal that is ignored (nohup, a background job) stays so. Only a main thread can be interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Interrupted(number)

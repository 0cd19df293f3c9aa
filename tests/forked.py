"""Runs commands in forks of a process that has its imports behind it: each may be killed, timed and watched.

What a command imports is imported here after it, so that the next one need not.

Started as a program by ``forking``. Each line of its input is JSON, the fields of ``Order``. The answers are
two lines: the number of the process, and what it left, the fields of ``Left``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.command import ROOT, Done, command

KILLED = -signal.SIGKILL
DEADLINE = 120.0
"""Seconds after which a command counts as hanging."""
FAILED = 99
"""Exit status of a command that raised what no command may raise."""


@dataclass(frozen=True)
class Order:
    """``words`` of a command, its ``environment``, and the moment at which it is killed, None: never.

    It is killed ``after`` so many seconds, or ``before`` the change of that number that it makes to files and
    folders: the moments at which something can be left half done. ``watched``: the files that it opens are
    noted.
    """

    words: Sequence[str]
    environment: dict[str, str]
    after: float | None = None
    before: int | None = None
    watched: bool = False


@dataclass(frozen=True)
class Left:
    """What a command left: its exit status, None where it hung, and its output.

    ``opened`` are the files that it opened where it was watched, ``changes`` the number of changes that it
    made to files and folders.
    """

    status: int | None
    out: str = ""
    err: str = ""
    opened: tuple[str, ...] = ()
    changes: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> Done:
        """The same as of a command in this process. Fails where it hung or crashed."""
        assert self.status is not None, f"it hung for {DEADLINE:.0f} s"
        assert self.status >= 0, f"signal {-self.status}"
        return Done(self.status, self.out, self.err)


@dataclass
class Forks:
    """Starts commands one after the other; ``process`` is the one under way."""

    program: subprocess.Popen[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: int = 0

    def run(
        self,
        *words: object,
        cache: Path | None = None,
        after: float | None = None,
        before: int | None = None,
        watched: bool = False,
    ) -> Left:
        """One command, with ``cache`` as its cache folder; the rest as in ``Order``."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        environment = self.environment | ({"AMELI_LLM_CACHE": str(cache)} if cache else {})
        order = Order([str(word) for word in words], environment, after, before, watched)
        self.program.stdin.write(json.dumps(asdict(order)) + "\n")
        self.program.stdin.flush()
        self.process = int(self.program.stdout.readline())
        content = json.loads(self.program.stdout.readline())
        return Left(**{**content, "opened": tuple(content["opened"])})


@contextmanager
def forking(*modules: str) -> Iterator[Forks]:
    """A process that imports these modules once for all commands that it is given."""
    with subprocess.Popen(
        [sys.executable, __file__, *modules],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            yield Forks(program)
        finally:
            assert program.stdin is not None
            program.stdin.close()


def moment(draw: random.Random, whole: Left, kills: int) -> dict[str, Any]:
    """When to kill a command that leaves ``whole`` otherwise: by turns after a time and before a change."""
    if kills % 2:
        return {"after": draw.uniform(0, 0.9 * whole.seconds)}
    return {"before": draw.randrange(whole.changes)}


def names(folder: Path) -> list[str]:
    """All files and folders in a folder: none that is lacking, and none that was left behind."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def _start(order: Order, place: Path) -> Left:
    gc.freeze()  # else each fork writes to all pages that it shares
    began = time.monotonic()
    process = os.fork()
    if not process:
        _work(order, place)
    _say(str(process))
    kill = began + (DEADLINE if order.after is None else order.after)
    status = _wait(process, kill)
    seconds = time.monotonic() - began
    if status is None:
        os.kill(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if order.after is None:  # nobody wanted it killed
            return Left(None, seconds=seconds)
    try:
        content: dict[str, Any] = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        content = {}
    finally:
        place.unlink(missing_ok=True)
    for name in content.pop("modules", ()):
        with contextlib.suppress(Exception):  # what could be imported there only
            importlib.import_module(name)
    return Left(status, **content, seconds=seconds)


def _work(order: Order, place: Path) -> None:
    """The command, in a process of its own that ends here."""
    seen, before = _Seen(order), set(sys.modules)
    status, out, err = FAILED, "", ""
    try:
        os.environ.update(order.environment)
        sys.addaudithook(seen)
        done = command(*order.words)
        status, out, err = done.code, done.out, done.err
    except BaseException:
        err = traceback.format_exc()
    finally:
        seen.ended = True
        opened = list(dict.fromkeys(map(os.path.realpath, seen.opened)))
        content = {"out": out, "err": err, "opened": opened, "changes": seen.changes}
        content["modules"] = [name for name in sys.modules if name not in before]
        place.write_text(json.dumps(content), encoding="utf-8")
        os._exit(status)


class _Seen:
    """An audit hook: notes what is opened, counts changes, and kills the process before one of them."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.opened: dict[str, None] = {}
        self.changes = 0
        self.ended = False

    def __call__(self, event: str, words: tuple[Any, ...]) -> None:
        if self.ended or event not in _CHANGES:
            return
        if event in ("open", "sqlite3.connect"):
            if not isinstance(words[0], str | bytes | os.PathLike):
                return
            if self.order.watched:
                self.opened[os.fsdecode(words[0])] = None
            if event == "open" and not words[2] & (os.O_WRONLY | os.O_RDWR):
                return
        if self.changes == self.order.before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.changes += 1


_CHANGES = frozenset(
    ("open", "sqlite3.connect", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate")
)


def _wait(process: int, until: float) -> int | None:
    """The exit status of the process; None where it still runs ``until`` then."""
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        left = until - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(left, 0.003))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Imports the modules that are named, and starts what the input asks for."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            _say(json.dumps(asdict(_start(Order(**json.loads(line)), Path(folder) / "left.json"))))


if __name__ == "__main__":
    main()

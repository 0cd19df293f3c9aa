"""Saves of template files, as an editor makes them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.templates.load import SUFFIX, prompts_folder

QUIET = 100
"""Milliseconds without another change after which a save counts as done: editors write a file in steps."""


def places(template: Path, prompts: Path | None) -> list[Path]:
    """The folders to look at: the template's, and those of the files that it may include."""
    root = prompts or prompts_folder()
    found = {template.resolve().parent, root.resolve()}
    return sorted(found | {path.parent for path in root.resolve().rglob(f"*{SUFFIX}")})


@contextmanager
def saves(folders: Collection[Path]) -> Iterator[Iterator[None]]:
    """Gives an iterator that waits for the next change of a template in one of the folders, without an end.

    Changes count from the start of the block on; those that came since the last one are one. Raises
    MissingPackageError, and AmeliError when a folder cannot be watched.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise MissingPackageError("watchfiles", "workbench") from error
    stop = threading.Event()
    met: SimpleQueue[BaseException | None] = SimpleQueue()

    def look() -> None:
        try:
            for _ in watchfiles.watch(
                *folders,
                watch_filter=lambda _, path: path.endswith(SUFFIX),
                step=QUIET,
                stop_event=stop,
                rust_timeout=1000,
                recursive=False,
            ):
                met.put(None)
        except BaseException as error:
            met.put(error)

    # In a thread of its own: in the main thread watchfiles takes every signal for Ctrl-C.
    thread = threading.Thread(target=look, name="saves", daemon=True)
    thread.start()
    try:
        yield _taken(met)
    finally:
        stop.set()
        thread.join(timeout=5)


def _taken(met: SimpleQueue[BaseException | None]) -> Iterator[None]:
    while True:
        found = [met.get()]
        try:
            while True:
                found.append(met.get_nowait())
        except Empty:
            pass
        for error in found:
            if error is not None:
                raise AmeliError(f"The template folders cannot be watched: {error}.") from error
        yield None

"""What follows from a generation of an index (word tables, priors): made on first use and sealed."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from ameli_llm.errors import AmeliError
from retrieval import locking
from retrieval.seal import flaw, seal

Write: TypeAlias = Callable[[Path], None]
log = logging.getLogger(__name__)


def open_derived(home: Path, name: str, write: Write, stack: ExitStack) -> Path:
    """The folder ``name`` in ``home`` with exactly what ``write`` made of it.

    What is damaged is made again, and what another process is making is waited for. Where nothing can be
    written, a temporary folder that ``stack`` removes. Raises AmeliError when the disk is full.
    """
    place = home / name
    if not flaw(place):
        return place
    with ExitStack() as lock:
        try:
            home.mkdir(exist_ok=True)
            lock.enter_context(locking.held(home / f".{name}.lock", f"making {place}"))
        except OSError:
            draft = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ameli-llm-")))
            _fill(draft, write)
            return draft
        if found := flaw(place):  # else another process has made it meanwhile
            if place.exists():
                log.warning("%s is damaged and is made again: %s.", place, found)
            _make(place, write)
    return place


def _make(place: Path, write: Write) -> None:
    draft = place.with_name(f".{place.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
        _fill(draft, write)
        if place.exists():
            shutil.rmtree(place)
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _fill(folder: Path, write: Write) -> None:
    try:
        folder.mkdir(exist_ok=True)
        write(folder)
        seal(folder)
    except OSError as error:
        raise AmeliError(f"Cannot write {folder}: {error.strerror or error}.", hint="Free space.") from error

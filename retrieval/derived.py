"""What follows from a generation of an index (word tables, priors): made on first use and sealed."""

from __future__ import annotations

import logging
import os
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

    What is damaged is made again, and what another process is making is waited for. Where it cannot be
    written it is made in a temporary folder, which ``stack`` removes. Raises AmeliError where that fails too.
    """
    place = home / name
    if not flaw(place):
        return place
    try:
        home.mkdir(exist_ok=True)
        with locking.held(home / f".{name}.lock", f"making {place}"):
            if found := flaw(place):  # else another process has made it meanwhile
                _make(place, write, found)
        return place
    except OSError as error:  # no right to write, a full disk, or a newer index has just replaced this one
        log.warning("%s cannot be kept (%s): it is made for this time only.", place, _reason(error))
    with ExitStack() as temporary:
        draft = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix="ameli-llm-")))
        try:
            write(draft)
        except OSError as error:
            raise AmeliError(f"Cannot write {place} or {draft}: {_reason(error)}.") from error
        stack.push(temporary.pop_all())
    return draft


def _make(place: Path, write: Write, found: str) -> None:
    if os.path.lexists(place):
        log.warning("%s is damaged and is made again: %s.", place, found)
    draft = place.with_name(f".{place.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
        draft.mkdir()
        write(draft)
        seal(draft)
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _reason(error: OSError) -> str:
    return error.strerror or str(error)

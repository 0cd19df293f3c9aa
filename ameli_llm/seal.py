"""The seal of a folder: a list of its files' checksums, which shows every later change, cut and loss."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter

from ameli_llm import locking

SEAL = "checksums.json"
Write: TypeAlias = Callable[[Path], None]
"""Fills an empty folder."""
_SUMS = TypeAdapter(dict[str, str])
log = logging.getLogger(__name__)


def open_sealed(place: Path, write: Write) -> Path:
    """The folder ``place`` with exactly what ``write`` made of it: on first use, and sealed.

    What is damaged is made again, and what another process is making is waited for. The folder appears
    whole or not at all. Raises OSError, and what ``write`` raises.
    """
    if not flaw(place):
        return place
    place.parent.mkdir(exist_ok=True)
    with locking.held(place.with_name(f".{place.name}.lock"), f"making {place}"):
        if found := flaw(place):  # else another process has made it meanwhile
            _make(place, write, found)
    return place


def seal(folder: Path, *names: str) -> None:
    """Writes the checksums of these files of ``folder``, of all that it has when none is named."""
    chosen = names or sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    sums = {name: file_checksum(folder / name) for name in chosen}
    (folder / SEAL).write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")


def flaw(folder: Path) -> str:
    """What is not as it was sealed, "" when everything is."""
    try:
        sums = _SUMS.validate_json((folder / SEAL).read_bytes())
    except (OSError, ValueError):
        return f"{SEAL} cannot be read"
    for name, checksum in sums.items():
        try:
            if file_checksum(folder / name) != checksum:
                return f"{name} has changed"
        except OSError:
            return f"{name} cannot be read"
    return ""


def file_checksum(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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

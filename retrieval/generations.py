"""Versions of an index: each is written once into a folder of its own, a pointer names the current one."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ameli_llm import locking
from ameli_llm.errors import AmeliError

POINTER = "current"
LOCK = "writer.lock"
_NEW_POINTER = f"{POINTER}.new"
_NAME = re.compile(r"gen-[0-9a-f]{16}")


@contextmanager
def writer(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds the one writer's place of an index; yields whether another process had it first.

    Waits for that one to finish, however long it takes, or without ``wait`` raises AmeliError at once. What a
    writer that was killed left beside the current generation is removed.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            waited = stack.enter_context(locking.held(folder / LOCK, _doing(folder), wait=wait))
        except OSError as error:
            raise AmeliError(f"Cannot write an index to {folder}: {error.strerror}.") from error
        if place := current(folder):
            _remove_others(folder, place)
        yield waited


def wait_for_writer(folder: Path) -> bool:
    """Returns when no other process writes the index; False when none did."""
    return locking.waited(folder / LOCK, _doing(folder))


def _doing(folder: Path) -> str:
    return f"writing the index in {folder}"


def current(folder: Path) -> Path | None:
    """The folder of the current generation, None when the pointer is missing, odd or points nowhere."""
    try:
        name = (folder / POINTER).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not _NAME.fullmatch(name) or not (folder / name).is_dir():
        return None
    return folder / name


@contextmanager
def new(folder: Path) -> Iterator[Path]:
    """A fresh generation folder, made current when the block ends well and removed when it does not.

    Older generations are deleted afterwards; readers that hold their files open keep them until they close.
    A full disk raises AmeliError and leaves the current generation as it was.
    """
    place = folder / f"gen-{secrets.token_hex(8)}"
    try:
        place.mkdir()
        yield place
        _point(folder, place.name)
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, OSError):
            raise AmeliError(
                f"Cannot write the index in {folder}: {error.strerror or error}.",
                hint="The index is as it was before; free space or name another folder with --out.",
            ) from error
        raise
    _remove_others(folder, place)


def _remove_others(folder: Path, place: Path) -> None:
    """Removes every generation but the one in ``place``, and a pointer that was not put into its place."""
    (folder / _NEW_POINTER).unlink(missing_ok=True)
    for old in folder.iterdir():
        if _NAME.fullmatch(old.name) and old.name != place.name:
            shutil.rmtree(old, ignore_errors=True)


def _point(folder: Path, name: str) -> None:
    draft = folder / _NEW_POINTER
    with draft.open("w", encoding="ascii") as file:
        file.write(name + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, folder / POINTER)

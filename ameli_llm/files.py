"""Files written in one step, locks between processes, and the first thing that is wrong with a file."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from pydantic import ValidationError

LOCK = ".lock"
"""The file by which a folder is held."""


def write_text(path: Path, text: str) -> None:
    """Writes a text in one step: readers see the old file or the new one. Raises AmeliError.

    Lone surrogates, which UTF-8 cannot hold, are written as question marks.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", errors="replace")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise AmeliError(f"Cannot write {path}: {error.strerror}.") from error


def write_json(path: Path, content: Any) -> None:
    """Writes a value as indented JSON, in one step. Raises AmeliError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def make_folder(path: Path) -> Path:
    """The folder, made with those above it when it is not there. Raises AmeliError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AmeliError(f"Cannot write to {path}: {error.strerror}.") from error
    return path


def lock(folder: Path) -> TextIO:
    """Holds ``folder`` against other processes until the stream is closed; makes the folder.

    Raises AmeliError at once when another process holds it.
    """
    make_folder(folder)
    try:
        stream = (folder / LOCK).open("a", encoding="utf-8")  # "w" would touch a finished run
    except OSError as error:
        raise AmeliError(f"Cannot write to {folder}: {error.strerror}.") from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        raise AmeliError(
            f"Another process is writing to {folder}.", hint="Wait for it, or choose another --out."
        ) from error
    return stream


def first_error(error: ValidationError) -> str:
    """The first of a validation's errors: where it is, and what."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]

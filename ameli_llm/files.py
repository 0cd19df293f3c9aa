"""Files and folders written in one step, locks between processes, and what is wrong with a file first."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from pydantic import ValidationError

LOCK = ".lock"
"""The file by which a folder is held."""


def read_bounded(path: Path, most: int, what: str = "") -> bytes:
    """The content of a file that somebody else wrote. Raises AmeliError, also when it has more bytes.

    Messages call it by ``what`` it is ("configuration") and its path.
    """
    name = f"{what} {path}".strip()
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise AmeliError(f"Cannot read {name}: {error.strerror}.") from error
    if len(content) > most:
        raise AmeliError(f"{name[0].upper() + name[1:] if what else name} has more than {most} bytes.")
    return content


def write_text(path: Path, text: str) -> None:
    """Writes a text in one step: readers see the old file or the new one. Raises AmeliError.

    Lone surrogates, which UTF-8 cannot hold, are written as question marks.
    """
    temporary = draft_of(path)
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


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` when all went well and vanishes otherwise.

    It is the ``draft_of`` it. Raises AmeliError when ``out`` holds files, or when something in the block
    cannot be written.
    """
    draft = draft_of(out.absolute())
    try:
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise AmeliError(f"{out} exists.", hint="Choose another --out, or delete it.")
        os.makedirs(draft.parent, exist_ok=True)
        draft.mkdir()
        yield draft
        os.replace(draft, out)
    except OSError as error:
        raise AmeliError(f"Cannot write {out}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def draft_of(path: Path) -> Path:
    """Where this process writes what becomes ``path`` in one step: a name beside it.

    What processes of this machine that are no more left there under such names is removed.
    """
    start = f".{path.name}.{platform.node()}-"
    with contextlib.suppress(OSError):
        for other in path.parent.iterdir():
            number = other.name.removeprefix(start).removesuffix(".draft")
            if other.name == f"{start}{number}.draft" and number.isdecimal() and not _runs(int(number)):
                _remove(other)
    return path.with_name(f"{start}{os.getpid()}.draft")


def _remove(path: Path) -> None:
    """Removes a file, or a folder with what is in it, as far as that can be done."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


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

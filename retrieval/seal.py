"""The seal of a folder: a list of its files' checksums, which shows every later change, cut and loss."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import TypeAdapter

SEAL = "checksums.json"
_SUMS = TypeAdapter(dict[str, str])


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

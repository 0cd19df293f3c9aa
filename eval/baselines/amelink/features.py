"""Vectors of frozen encoders: each unit once, in half precision, on disk while a training needs them."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from ameli_llm.errors import AmeliError, MissingPackageError
from eval.baselines.amelink.encoder import TextEncoder, Unit, quick

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

Halves: TypeAlias = npt.NDArray[np.float16]
Report: TypeAlias = Callable[[int, int], None]

FILE, STATE = "features.npy", "features.json"
PART = 8192
"""Units that are encoded between two notes of how far it has come."""


def encoded(encoder: TextEncoder, units: Sequence[Unit], report: Report | None = None) -> Halves:
    """[u, d]: the vectors of the units from an encoder that is not being trained."""
    encoder.eval()
    with torch.inference_mode(), quick(encoder.device):
        found: Halves = encoder.vectors(units, report).half().cpu().numpy()
    return found


def stored(folder: Path, encoder: TextEncoder, units: Sequence[Unit], report: Report | None = None) -> Halves:
    """``encoded``, mapped from a file in ``folder``; what an interrupted call has encoded is kept.

    What is damaged is encoded again. Raises AmeliError when the file cannot be written.
    """
    shape = (len(units), encoder.stamp.dimension)
    if not units:
        return np.zeros(shape, np.float16)
    key = _key(encoder, units)
    file, state = folder / FILE, folder / STATE
    # Long sequences first: a part then holds sequences of like length.
    order = sorted(range(len(units)), key=lambda i: (-_length(units[i]), units[i]))
    done, checksum = _done(state, file, key, shape, order)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mode = "r+" if done else "w+"
        vectors: Halves = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            file, mode=mode, dtype=np.float16, shape=None if done else shape
        )
        while done < len(units):
            part = order[done : done + PART]
            vectors[part] = encoded(encoder, [units[i] for i in part], _shifted(report, done, len(units)))
            vectors.flush()  # type: ignore[attr-defined]
            done += len(part)
            checksum = _added(checksum, vectors, part)
            _write(state, _State(key=key, done=done, checksum=checksum))
    except OSError as error:
        raise AmeliError(
            f"Cannot write {file}: {error.strerror}.", hint="It needs room on the disk."
        ) from error
    return vectors


def discard(folder: Path) -> None:
    """Removes the vectors from the folder, and the folder."""
    for name in (FILE, STATE):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _shifted(report: Report | None, done: int, total: int) -> Report | None:
    return (lambda now, _: report(done + now, total)) if report else None


def _length(unit: Unit) -> int:
    return len(unit) if isinstance(unit, str) else len(unit.first) + len(unit.second)


def _key(encoder: TextEncoder, units: Sequence[Unit]) -> str:
    digest = hashlib.sha256(f"{encoder.stamp} {encoder.tokens.settings}".encode())
    for unit in units:
        digest.update(json.dumps(unit).encode())
    return digest.hexdigest()[:16]


class _State(BaseModel):
    """How far it has come: ``done`` of the units of ``key``; ``checksum`` is the CRC-32 of their vectors."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str
    done: int
    checksum: int


def _done(state: Path, file: Path, key: str, shape: tuple[int, int], order: list[int]) -> tuple[int, int]:
    """How many units of this very list are encoded, and the checksum of their vectors."""
    try:
        found = _State.model_validate_json(state.read_bytes())
        vectors = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, SyntaxError, TokenError):  # numpy's, of a damaged header, are the last two
        return 0, 0
    if found.key != key or vectors.shape != shape or vectors.dtype != np.float16:
        return 0, 0
    checksum = 0
    for start in range(0, found.done, PART):
        checksum = _added(checksum, vectors, order[start : min(start + PART, found.done)])
    return (found.done, checksum) if checksum == found.checksum else (0, 0)


def _added(checksum: int, vectors: Halves, part: list[int]) -> int:
    """The checksum with the vectors of a part more."""
    return zlib.crc32(vectors[part].tobytes(), checksum)


def _write(path: Path, state: _State) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(state.model_dump_json())
    os.replace(partial, path)

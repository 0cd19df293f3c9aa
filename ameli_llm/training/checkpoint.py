"""The checkpoint of a training: one safetensors file, replaced in one step, from which it goes on.

The tensors are parameters, Adam's moments and the states of torch's generators. All else is JSON in the
file's metadata, with a checksum over both.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ameli_llm.errors import AmeliError, MissingPackageError

if TYPE_CHECKING:
    import torch

Tensors: TypeAlias = "Mapping[str, torch.Tensor]"
Setting: TypeAlias = str | int | float | bool

FILE = "checkpoint.safetensors"
LOCK = ".lock"
SECONDS = 30.0
"""Least time between two checkpoints within an epoch."""
PAUSE_PER_WRITING = 30.0
"""After a checkpoint, so many times the time that writing it took goes by before the next one."""


class State(BaseModel):
    """Where a training stands, apart from its tensors.

    ``epoch`` is the one that runs, counted from 1; ``step`` of its optimizer steps are done, over whose
    examples ``loss_sum`` adds up the loss. ``history`` has number, loss and score of each finished epoch.
    ``identity`` stands for the data and ``settings`` for everything else that decides the result.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    identity: str
    settings: dict[str, Setting]
    epoch: int = Field(ge=1)
    step: int = Field(ge=0)
    loss_sum: float
    history: list[tuple[int, float | None, float | None]] = Field(min_length=1)
    scaler: dict[str, float | int]


@dataclass
class Store:
    """The checkpoint of one training in the folder ``path``; open it with ``locked``.

    ``seconds`` is the least time between two that ``save_when_due`` writes; 0 writes every time.
    """

    path: Path
    seconds: float = SECONDS
    _next: float = 0.0

    @property
    def file(self) -> Path:
        """Where the checkpoint is written."""
        return self.path / FILE

    def load(self, identity: str, settings: Mapping[str, Setting]) -> tuple[State, Tensors] | None:
        """What was saved, on the CPU; None when nothing was.

        Raises AmeliError when the file is damaged or belongs to another identity or other settings.
        """
        self._wait(0.0)
        if not self.file.exists():
            return None
        state, tensors = _read(self.file)
        differing = sorted(
            key
            for key in {*state.settings, *settings}
            if (state.settings.get(key), key in state.settings) != (settings.get(key), key in settings)
        )
        if differing:
            pairs = (
                f"{key} {state.settings.get(key, 'unset')}, now {settings.get(key, 'unset')}"
                for key in differing
            )
            raise AmeliError(
                f"{self.file} is the checkpoint of a training with other settings: {'; '.join(pairs)}.",
                hint=self._hint("Use those settings again, delete that folder"),
            )
        if state.identity != identity:
            raise AmeliError(f"{self.file} is the checkpoint of a training on other data.", hint=self._hint())
        return state, tensors

    def require_shapes(self, found: Tensors, expected: Tensors) -> None:
        """Raises AmeliError unless the tensors of the checkpoint are those of the model that is trained."""
        for name in sorted({*found, *expected}):
            there, here = _shape(found.get(name)), _shape(expected.get(name))
            if there != here:
                raise AmeliError(
                    f"{self.file} is the checkpoint of a model of another size: {name} is {there} there "
                    f"and {here} here.",
                    hint=self._hint(),
                )

    def save(self, state: State, tensors: Tensors) -> None:
        """Replaces the checkpoint in one step. Raises AmeliError when it cannot be written."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        start = time.monotonic()
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        text = state.model_dump_json()
        partial = self.file.with_name(self.file.name + ".partial")
        try:
            save_file(kept, partial, metadata={"state": text, "checksum": _checksum(text, kept)})
            _flush(partial)
            partial.replace(self.file)
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise AmeliError(
                f"Cannot write {self.file}: {getattr(error, 'strerror', None) or error}.",
                hint="Make room and type the same command again: the training goes on from the last "
                "checkpoint.",
            ) from error
        self._wait(time.monotonic() - start)

    def due(self) -> bool:
        """Whether enough time has gone by for a checkpoint within an epoch."""
        return time.monotonic() >= self._next

    def _wait(self, writing: float) -> None:
        pause = max(self.seconds, PAUSE_PER_WRITING * writing) if self.seconds else 0.0
        self._next = time.monotonic() + pause

    def _hint(self, first: str = "Delete that folder") -> str:
        return f"{first} or choose another --out."


@contextlib.contextmanager
def locked(folder: Path, seconds: float = SECONDS) -> Iterator[Store]:
    """The store in ``folder``, which is made, for one process at a time. Raises AmeliError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / LOCK).open("w", encoding="utf-8")
    except OSError as error:
        raise AmeliError(f"Cannot write to {folder}: {error.strerror}.") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AmeliError(
                f"Another process is training in {folder}.", hint="Wait for it, or choose another --out."
            ) from error
        yield Store(folder, seconds)


def discard(checkpoints: Path) -> None:
    """Removes the checkpoint from the folder, and the folder when nothing else is in it.

    To be called when the result of the training is saved.
    """
    for name in (FILE, FILE + ".partial", LOCK):
        (checkpoints / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        checkpoints.rmdir()


def _read(file: Path) -> tuple[State, Tensors]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingPackageError("safetensors", "retrieval") from error
    try:
        with safe_open(file, framework="pt") as content:
            metadata: Mapping[str, Any] = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        text = metadata.get("state", "")
        if metadata.get("checksum") != _checksum(text, tensors):
            raise ValueError("its checksum is wrong")
        return State.model_validate_json(text), tensors
    except (OSError, SafetensorError, ValidationError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise AmeliError(
            f"The checkpoint {file} is damaged: {reason}.",
            hint="Delete that folder to train from the beginning, or choose another --out.",
        ) from error


def _checksum(text: str, tensors: Tensors) -> str:
    """CRC-32 over the state and over the name, shape and bytes of each tensor, by name."""
    import torch

    value = zlib.crc32(text.encode())
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def _shape(tensor: torch.Tensor | None) -> str:
    return "missing" if tensor is None else f"{list(tensor.shape)}"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Trained weights on disk: safetensors beside a JSON description, written whole and checked on reading."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.files import first_error

Vectors: TypeAlias = npt.NDArray[np.float32]
Description = TypeVar("Description", bound="Described")

CHECKED = 2
"""Descriptions have a checksum from this format on; those before it are still read."""
FORMAT = 2
"""Of the descriptions that are written."""


class WeightsDamagedError(AmeliError):
    """The weights on disk are not those that their description was written for."""


class Described(BaseModel):
    """What stands beside weights. ``sha256`` is of their file; from ``format`` 2 on it has to be there."""

    model_config = ConfigDict(extra="forbid")

    format: int = Field(1, ge=1, le=FORMAT)
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _has_checksum(self) -> Self:
        if self.format >= CHECKED and not self.sha256:
            raise ValueError(f"format {self.format} has to have the sha256 of the weights")
        return self


def write(weights: Mapping[str, Vectors], file: Path, description: Described, described: Path) -> None:
    """Writes the weights and then their description with their checksum: where it lies, both are complete.

    Files that were there are replaced; a killed run leaves the old file or the new one. Raises AmeliError.
    """
    from safetensors.numpy import save as to_bytes

    content = to_bytes(dict(weights))
    checked = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest()}
    text = description.model_copy(update=checked).model_dump_json(indent=2) + "\n"
    try:
        for path in (file, described):
            path.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, content)
        _replace(described, text.encode())
    except OSError as error:
        raise AmeliError(f"Cannot write to {file.parent}: {error.strerror}.") from error


def read(
    file: Path, described: Path, kind: type[Description], hint: str
) -> tuple[Description, dict[str, Vectors]]:
    """The description and the arrays by name; ``hint`` says what writes them.

    Raises WeightsDamagedError when the file is not the one that was described, and AmeliError when one is
    missing or broken, or unless all arrays are of finite float32 numbers.
    """
    try:
        description = kind.model_validate_json(described.read_bytes())
    except OSError as error:
        raise AmeliError(f"Cannot read {described}: {error.strerror}.", hint=hint) from error
    except ValidationError as error:
        raise AmeliError(f"{described}: {first_error(error)}.") from error
    return description, _read_weights(file, description, hint)


def _read_weights(path: Path, described: Described, hint: str) -> dict[str, Vectors]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise MissingPackageError("safetensors", "retrieval") from error
    try:
        content = path.read_bytes()
        require_whole(path, content, described.sha256, hint)
        weights = dict(load(content))
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from error
    except SafetensorError as error:
        raise AmeliError(f"{path} is not a safetensors file: {error}.") from error
    except KeyError as error:  # a number type that numpy lacks
        raise AmeliError(f"{path}: numbers of type {error.args[0]} instead of float32.") from error
    for name, array in weights.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise AmeliError(f"{path}: {name} has to hold finite float32 numbers.")
    return weights


def require_whole(path: Path, content: bytes, sha256: str, hint: str) -> None:
    """Raises WeightsDamagedError unless the SHA-256 of the content begins with these digits."""
    if not hashlib.sha256(content).hexdigest().startswith(sha256):
        raise WeightsDamagedError(f"The weights in {path} are not those that the training wrote.", hint=hint)


def digest(path: Path) -> str:
    """The first 16 hex digits of the file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def require_shapes(
    weights: Mapping[str, Vectors], expected: Mapping[str, tuple[int, ...]], form: str
) -> None:
    """Raises AmeliError unless these are the arrays, of these shapes, that the form has."""
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        raise AmeliError(
            f"The weights do not fit the form {form}: expected {_listed(expected)}, found {_listed(found)}."
        )


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items())) or "none"

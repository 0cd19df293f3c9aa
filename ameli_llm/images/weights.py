"""Trained weights on disk: safetensors beside a JSON description, written whole and checked on reading."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.files import first_error

Vectors: TypeAlias = npt.NDArray[np.float32]
Description = TypeVar("Description", bound=BaseModel)


def write(weights: Mapping[str, Vectors], file: Path, description: BaseModel, described: Path) -> None:
    """Writes the weights and then their description: where the latter lies, both are complete.

    Files that were there are replaced; a killed run leaves the old file or the new one. Raises AmeliError.
    """
    from safetensors.numpy import save as to_bytes

    try:
        for path in (file, described):
            path.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, to_bytes(dict(weights)))
        _replace(described, (description.model_dump_json(indent=2) + "\n").encode())
    except OSError as error:
        raise AmeliError(f"Cannot write to {file.parent}: {error.strerror}.") from error


def read_description(path: Path, kind: type[Description], hint: str) -> Description:
    """The description in the file; ``hint`` says what writes one. Raises AmeliError."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.", hint=hint) from error
    except ValidationError as error:
        raise AmeliError(f"{path}: {first_error(error)}.") from error


def read_weights(path: Path) -> dict[str, Vectors]:
    """The arrays in the file by name. Raises AmeliError unless all are of finite float32 numbers."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise MissingPackageError("safetensors", "retrieval") from error
    try:
        weights = dict(load(path.read_bytes()))
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

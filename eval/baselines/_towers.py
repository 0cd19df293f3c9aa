"""The two towers of V2TEL: review images and product texts on their way into one space."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ameli_llm.errors import AmeliError
from ameli_llm.fusion.adapter import OFFICIAL_SHARE
from eval.baselines.baseline import Floats
from retrieval.encoders.encoder import normalised

Form: TypeAlias = Literal["paper", "official", "projection"]
SIDES = ("image", "text")
WEIGHTS = "towers.safetensors"
DESCRIPTION = "towers.json"


@dataclass(frozen=True)
class Sizes:
    """``image`` and ``text`` vectors go in, ``hidden`` is the width between, ``common`` comes out."""

    image: int
    text: int
    hidden: int
    common: int

    def shapes(self, form: Form) -> dict[str, tuple[int, ...]]:
        """Shape of each weight of the form."""
        found: dict[str, tuple[int, ...]] = {}
        for side, d in zip(SIDES, (self.image, self.text), strict=True):
            found |= {f"{side}.w1": (d, self.hidden), f"{side}.w2": (self.hidden, self.common)}
            if form == "projection":
                found |= {f"{side}.mean": (d,), f"{side}.b1": (self.hidden,), f"{side}.b2": (self.common,)}
        return found


@dataclass(frozen=True)
class Towers:
    """Maps image vectors and text vectors to L2-normalised ones of a common space.

    Where both come from one model's space (CLIP), a residual adapter a side: "paper" is H + ReLU(H W1) W2,
    "official" 0.8 H + 0.2 ReLU(ReLU(H W1) W2). Otherwise "projection": ReLU((H - m) W1 + b1) W2 + b2, where m
    is the mean of the vectors trained on.
    """

    form: Form
    sizes: Sizes
    weights: Mapping[str, Floats]
    encoders: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = self.sizes.shapes(self.form)
        found = {name: array.shape for name, array in self.weights.items()}
        if found != expected:
            raise AmeliError(
                f"The weights do not fit the form {self.form!r}: expected {_shapes(expected)}, "
                f"found {_shapes(found)}."
            )

    @classmethod
    def load(cls, folder: Path) -> Towers:
        """The towers that ``save`` wrote. Raises AmeliError when missing, damaged or of another size."""
        described = _description(folder / DESCRIPTION)
        weights, digest = _weights(folder / WEIGHTS)
        sizes = Sizes(**described.sizes.model_dump())
        training = {**described.training, "weights": digest}
        try:
            return cls(described.form, sizes, weights, described.encoders, training)
        except AmeliError as error:
            raise AmeliError(f"{folder}: {error.message}", hint=error.hint) from error

    def save(self, folder: Path) -> None:
        """Writes towers.safetensors and then towers.json: a folder with the latter is complete."""
        from safetensors.numpy import save as to_bytes

        described = _Description(
            form=self.form,
            sizes=_Sizes(**vars(self.sizes)),
            encoders=dict(self.encoders),
            training=dict(self.training),
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _replace(folder / WEIGHTS, to_bytes(dict(self.weights)))
            _replace(folder / DESCRIPTION, (described.model_dump_json(indent=2) + "\n").encode())
        except OSError as error:
            raise AmeliError(f"Cannot write to {folder}: {error.strerror}.") from error

    def image(self, vectors: Floats) -> Floats:
        """[n, d of the image encoder] -> [n, common]."""
        return self._map(vectors, "image")

    def text(self, vectors: Floats) -> Floats:
        """[n, d of the text encoder] -> [n, common]."""
        return self._map(vectors, "text")

    def _map(self, rows: Floats, side: str) -> Floats:
        weights = {
            name.removeprefix(f"{side}."): w for name, w in self.weights.items() if name.startswith(side)
        }
        if self.form == "projection":
            hidden = np.maximum((rows - weights["mean"]) @ weights["w1"] + weights["b1"], 0)
            return normalised(hidden @ weights["w2"] + weights["b2"])
        adapted = np.maximum(rows @ weights["w1"], 0) @ weights["w2"]
        if self.form == "official":
            return normalised((1 - OFFICIAL_SHARE) * rows + OFFICIAL_SHARE * np.maximum(adapted, 0))
        return normalised(rows + adapted)


class _Sizes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    image: int = Field(ge=1)
    text: int = Field(ge=1)
    hidden: int = Field(ge=1)
    common: int = Field(ge=1)


class _Description(BaseModel):
    model_config = ConfigDict(extra="forbid")

    form: Form
    sizes: _Sizes
    encoders: dict[str, str]
    training: dict[str, Any] = Field(default_factory=dict)


def _description(path: Path) -> _Description:
    try:
        return _Description.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AmeliError(
            f"Cannot read {path}: {error.strerror}.",
            hint="ameli-llm train v2tel DATASET --out DIR writes one.",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise AmeliError(f"{path}: {where}: {first['msg']}.") from error


def _weights(path: Path) -> tuple[dict[str, Floats], str]:
    """The weights in the file, and the first 16 hex digits of its SHA-256."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
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
    return weights, hashlib.sha256(content).hexdigest()[:16]


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items())) or "none"

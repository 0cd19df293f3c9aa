"""The two towers of V2TEL: review images and product texts on their way into one space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ameli_llm.errors import AmeliError
from ameli_llm.images import weights as files
from ameli_llm.images.adapter import positive, residual
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
        files.require_shapes(self.weights, self.sizes.shapes(self.form), repr(self.form))

    @classmethod
    def load(cls, folder: Path) -> Towers:
        """The towers that ``save`` wrote. Raises AmeliError when missing, damaged or of another size."""
        hint = "ameli-llm train v2tel DATASET --out DIR writes one."
        described, weights = files.read(folder / WEIGHTS, folder / DESCRIPTION, _Description, hint)
        sizes = Sizes(**described.sizes.model_dump())
        training = {**described.training, "weights": files.digest(folder / WEIGHTS)}
        try:
            return cls(described.form, sizes, weights, described.encoders, training)
        except AmeliError as error:
            raise AmeliError(f"{folder}: {error.message}", hint=error.hint) from error

    def save(self, folder: Path) -> None:
        """Writes towers.safetensors and then towers.json: a folder with the latter is complete."""
        described = _Description(
            form=self.form,
            sizes=_Sizes(**vars(self.sizes)),
            encoders=dict(self.encoders),
            training=dict(self.training),
        )
        files.write(self.weights, folder / WEIGHTS, described, folder / DESCRIPTION)

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
        return normalised(residual(self.form, rows, weights["w1"], weights["w2"], positive))


class _Sizes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    image: int = Field(ge=1)
    text: int = Field(ge=1)
    hidden: int = Field(ge=1)
    common: int = Field(ge=1)


class _Description(files.Described):
    form: Form
    sizes: _Sizes
    encoders: dict[str, str]
    training: dict[str, Any] = Field(default_factory=dict)

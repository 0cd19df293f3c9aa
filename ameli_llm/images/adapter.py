"""The image adapter: fits general image vectors to the task; does nothing until it is trained.

Paper, section 4.4: H^ = H + ReLU(H W1) W2, with separate weights for review and entity images, then the
cosine. ``official`` is the released code's form instead: one shared pair of matrices and
0.8 H + 0.2 ReLU(ReLU(H W1) W2) (class A_adapt_contrast).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from pydantic import Field

from ameli_llm.errors import AmeliError
from ameli_llm.images import weights as files
from ameli_llm.images.weights import Vectors

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", Vectors, "torch.Tensor")
Form: TypeAlias = Literal["identity", "paper", "official"]

WEIGHTS = "adapter.safetensors"
DESCRIPTION = "adapter.json"
OFFICIAL_SHARE = 0.2
"""Weight of the adapted vector in the official form; the unadapted one has the rest."""

_SIDES: Mapping[str, tuple[str, ...]] = {
    "identity": (),
    "paper": ("review", "entity"),
    "official": ("shared",),
}


class _Description(files.Described):
    """What stands beside the weights of an adapter."""

    form: Form
    dimension: int = Field(ge=1)
    bottleneck: int = Field(ge=0)
    encoder: str = ""
    training: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class ImageAdapter:
    """Maps image vectors of ``dimension`` numbers to adapted ones of the same size.

    ``weights`` holds W1 [d, h] and W2 [h, d] as "review.w1", "review.w2", "entity.w1", "entity.w2" (form
    "paper") or "shared.w1", "shared.w2" (form "official"). ``encoder`` names the encoder and its revision
    whose vectors it was trained on: vectors of another encoder mean something else. ``training`` keeps the
    settings it was trained with.
    """

    dimension: int
    form: Form = "identity"
    weights: Mapping[str, Vectors] = field(default_factory=dict)
    encoder: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_shapes()

    @classmethod
    def identity(cls, dimension: int) -> ImageAdapter:
        """The untrained adapter: vectors are normalised and otherwise as they were."""
        return cls(dimension)

    @classmethod
    def load(cls, folder: Path) -> ImageAdapter:
        """The adapter that ``save`` wrote. Raises AmeliError if missing, damaged or of another size."""
        hint = "ameli-llm train clip-adapter DATASET --out DIR makes one."
        description, weights = files.read(folder / WEIGHTS, folder / DESCRIPTION, _Description, hint)
        try:
            return cls(
                description.dimension, description.form, weights, description.encoder, description.training
            )
        except AmeliError as error:
            raise AmeliError(f"Adapter {folder}: {error.message}", hint=error.hint) from error

    def save(self, folder: Path) -> None:
        """Writes adapter.safetensors and adapter.json; an adapter that was there is replaced."""
        description = _Description(
            form=self.form,
            dimension=self.dimension,
            bottleneck=self.bottleneck,
            encoder=self.encoder,
            training=dict(self.training),
        )
        files.write(self.weights, folder / WEIGHTS, description, folder / DESCRIPTION)

    @property
    def bottleneck(self) -> int:
        """h, the width between W1 and W2; 0 for the identity."""
        return next((w.shape[1] for name, w in self.weights.items() if name.endswith("w1")), 0)

    def require(self, dimension: int, encoder: str) -> ImageAdapter:
        """This adapter, if it fits vectors of that size and encoder; else raises AmeliError."""
        if dimension != self.dimension:
            raise AmeliError(
                f"The adapter takes image vectors of {self.dimension} numbers, the index has {dimension}.",
                hint="Train one on this index: ameli-llm train clip-adapter DATASET --out DIR",
            )
        if self.encoder and encoder != self.encoder:
            raise AmeliError(
                f"The adapter was trained on vectors of {self.encoder}, the index has those of {encoder}.",
                hint="Train one on this index: ameli-llm train clip-adapter DATASET --out DIR",
            )
        return self

    def review(self, vectors: Vectors) -> Vectors:
        """Adapted, L2-normalised vectors of review images, [n, d] -> [n, d]."""
        return self._adapt(vectors, "review")

    def entity(self, vectors: Vectors) -> Vectors:
        """Adapted, L2-normalised vectors of product images, [n, d] -> [n, d]."""
        return self._adapt(vectors, "entity")

    def _adapt(self, vectors: Vectors, side: str) -> Vectors:
        rows = np.asarray(vectors, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise AmeliError(f"The adapter takes vectors of shape [n, {self.dimension}], not {rows.shape}.")
        if self.form != "identity":
            side = "shared" if self.form == "official" else side
            rows = residual(self.form, rows, self.weights[f"{side}.w1"], self.weights[f"{side}.w2"], positive)
        return _normalised(rows)

    def _check_shapes(self) -> None:
        d, h = self.dimension, self.bottleneck
        expected = {
            f"{side}.{matrix}": shape
            for side in _SIDES[self.form]
            for matrix, shape in (("w1", (d, h)), ("w2", (h, d)))
        }
        files.require_shapes(self.weights, expected, f"{self.form!r} with vectors of {d} numbers")


def residual(
    form: Literal["paper", "official"], rows: Array, w1: Array, w2: Array, relu: Callable[[Array], Array]
) -> Array:
    """The adapted rows, [n, d]: H + ReLU(H W1) W2, or 0.8 H + 0.2 ReLU(ReLU(H W1) W2).

    Of numpy arrays or, in training, of tensors; ``relu`` is that of their kind.
    """
    change = relu(rows @ w1) @ w2
    if form == "official":
        return (1 - OFFICIAL_SHARE) * rows + OFFICIAL_SHARE * relu(change)
    return rows + change


def positive(rows: Vectors) -> Vectors:
    """ReLU of a numpy array."""
    found: Vectors = np.maximum(rows, 0)
    return found


def _normalised(rows: Vectors) -> Vectors:
    """Rows scaled to length 1, [n, d]; a row of zeros stays zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Vectors = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return scaled

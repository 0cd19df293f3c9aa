"""Trains the image adapter contrastively: the products of a batch are each other's negatives.

Paper, section 4.4: L(r, e+) = -log exp(cos(r, e+)) / sum over the batch of exp(cos(r, e)).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.images.adapter import ImageAdapter, residual
from ameli_llm.images.pairs import ImageSearch, Numbers, Pairs, recall_at_1
from ameli_llm.images.weights import Vectors

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

from ameli_llm.training.loop import DivergedError, Epoch, LoopSettings, train
from ameli_llm.types import Progress


@dataclass(frozen=True)
class TrainingSettings:
    """How the adapter is trained.

    ``bottleneck`` 0 is a quarter of the vectors' size, as in the official code. ``temperature`` divides the
    cosines: 0.05 as in the official code's fine-tuning for retrieval; the paper's equation has none, which is
    1 and teaches less (docs/log.md). ``patience`` is how many epochs without a better Recall@1 on dev are
    waited for.
    """

    form: Literal["paper", "official"] = "paper"
    epochs: int = 30
    learning_rate: float = 3e-4
    batch_size: int = 64
    bottleneck: int = 0
    temperature: float = 0.05
    patience: int = 10


def train_adapter(
    pairs: Pairs,
    dev: ImageSearch | None = None,
    settings: TrainingSettings | None = None,
    *,
    seed: int = 0,
    encoder: str = "",
    progress: Progress | None = None,
    checkpoints: Path | None = None,
) -> tuple[ImageAdapter, list[Epoch]]:
    """The adapter of the best epoch by Recall@1 on dev (the earliest of equals), and all epochs.

    An epoch's score is that recall. Without ``dev`` the adapter is the last epoch's. The best may be epoch 0,
    whose adapter is the identity: a training that does not help on dev changes nothing. Epoch 0 has a loss
    here: that of the identity. The same inputs and seed give the same weights on one machine. An interrupted
    training goes on from the folder ``checkpoints``; ``ameli_llm.training.checkpoint.discard`` removes it.
    Raises AmeliError when the pairs are of one product only or when the loss is not finite.
    """
    settings = settings or TrainingSettings()
    _check(pairs)
    dimension = pairs.review.shape[1]
    network = _Network(dimension, settings, seed)
    training = asdict(settings) | {"seed": seed}

    def adapter() -> ImageAdapter:
        if network.untrained():
            return ImageAdapter(dimension, encoder=encoder, training=training)
        return ImageAdapter(dimension, settings.form, network.arrays(), encoder, training)

    try:
        history = train(
            network,
            len(pairs.review),
            lambda rows: _loss(pairs, rows, network, settings),
            None if dev is None else lambda: recall_at_1(adapter(), dev),
            LoopSettings(
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                patience=settings.patience,
                seed=seed,
            ),
            checkpoints=checkpoints,
            identity=_identity(pairs, dev, settings, encoder) if checkpoints else "",
            progress=progress,
        )
    except DivergedError as error:
        raise DivergedError(
            error.message,
            hint=f"Use a lower learning rate than {settings.learning_rate:g} or a higher temperature "
            f"than {settings.temperature:g}.",
        ) from error
    history[0] = replace(history[0], loss=_mean_loss(pairs, settings))
    return adapter(), history


def _check(pairs: Pairs) -> None:
    if pairs.review.shape != pairs.entity.shape or len(pairs.review) != len(pairs.product):
        raise AmeliError(
            f"Review vectors {list(pairs.review.shape)}, product vectors {list(pairs.entity.shape)} and "
            f"{len(pairs.product)} products are not pairs."
        )
    shown = [pairs.entity] if pairs.others is None else [pairs.entity, pairs.others.images]
    for what, vectors in (("review", pairs.review), *(("product", one) for one in shown)):
        if not np.isfinite(vectors).all():
            raise AmeliError(f"The vectors of the {what} images are not all finite numbers.")
    products = len(np.unique(pairs.product))
    if products < 2:
        raise AmeliError(
            f"{len(pairs.review)} image pairs of {products} product(s) are too few to contrast.",
            hint="Training needs reviews with images of at least two products with images.",
        )


class _Layers(torch.nn.Module):
    """W1 [d, h] random. W2 [h, d] zero in the paper's form, which starts as the identity; random in the
    official one, whose outer ReLU passes no gradient at zero."""

    def __init__(self, dimension: int, settings: TrainingSettings, generator: torch.Generator) -> None:
        super().__init__()
        hidden = settings.bottleneck or max(1, dimension // 4)
        spread = 0.0 if settings.form == "paper" else 1 / math.sqrt(hidden)
        first = torch.randn(dimension, hidden, generator=generator) / math.sqrt(dimension)
        self.w1 = torch.nn.Parameter(first)
        self.w2 = torch.nn.Parameter(torch.randn(hidden, dimension, generator=generator) * spread)


class _Network(torch.nn.ModuleDict):
    """The adapter while it is trained; parameters have the names of ``ImageAdapter.weights``."""

    def __init__(self, dimension: int, settings: TrainingSettings, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        sides = ("review", "entity") if settings.form == "paper" else ("shared",)
        super().__init__({side: _Layers(dimension, settings, generator) for side in sides})
        self._form = settings.form
        self._initial = self.arrays()

    def arrays(self) -> dict[str, Vectors]:
        return {name: tensor.detach().numpy().copy() for name, tensor in self.named_parameters()}

    def untrained(self) -> bool:
        """Whether all weights are those that it began with."""
        return all(np.array_equal(array, self._initial[name]) for name, array in self.arrays().items())

    def adapt(self, vectors: torch.Tensor, side: str) -> torch.Tensor:
        layers = cast("_Layers", self["shared" if "shared" in self else side])
        return residual(self._form, vectors, layers.w1, layers.w2, torch.relu)


def _loss(pairs: Pairs, rows: Numbers, network: _Network | None, settings: TrainingSettings) -> torch.Tensor:
    """Mean loss of the pairs at ``rows``, one batch; without a network that of the unadapted vectors."""
    shots, shown, ids = pairs.review[rows], pairs.entity[rows], pairs.product[rows]
    products = ids
    if pairs.others is not None:
        more = pairs.others.rows[rows]
        more = more[more >= 0]
        shown = np.concatenate([shown, pairs.others.images[more]])
        products = np.concatenate([ids, pairs.others.owner[more]])
    normalize = torch.nn.functional.normalize
    reviews, entities = torch.from_numpy(shots), torch.from_numpy(shown)
    if network is not None:
        reviews, entities = network.adapt(reviews, "review"), network.adapt(entities, "entity")
    logits = normalize(reviews) @ normalize(entities).T / settings.temperature
    # Another image of the same product is no negative.
    same = torch.from_numpy(ids[:, None] == products) & ~torch.eye(*logits.shape, dtype=torch.bool)
    return torch.nn.functional.cross_entropy(logits.masked_fill(same, -torch.inf), torch.arange(len(rows)))


def _mean_loss(pairs: Pairs, settings: TrainingSettings) -> float:
    """The untrained loss over all pairs, in batches by position."""
    total = 0.0
    for start in range(0, len(pairs.review), settings.batch_size):
        rows = np.arange(start, min(start + settings.batch_size, len(pairs.review)))
        total += float(_loss(pairs, rows, None, settings)) * len(rows)
    return total / len(pairs.review)


def _identity(pairs: Pairs, dev: ImageSearch | None, settings: TrainingSettings, encoder: str) -> str:
    """Stands for everything that decides the adapter."""
    selected = dev is not None and dev.selected
    digest = hashlib.sha256(json.dumps([asdict(settings), encoder, selected]).encode())
    arrays: list[Vectors | Numbers] = [pairs.review, pairs.entity, pairs.product]
    if pairs.others is not None:
        arrays += [pairs.others.images, pairs.others.owner, pairs.others.rows]
    if dev is not None:
        arrays += [dev.review, dev.review_row, dev.gold, dev.images, dev.owner]
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

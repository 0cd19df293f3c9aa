"""Trains the image adapter contrastively: the products of a batch are each other's negatives.

Paper, section 4.4: L(r, e+) = -log exp(cos(r, e+)) / sum over the batch of exp(cos(r, e)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError, MissingDependencyError
from ameli_llm.fusion.adapter import OFFICIAL_SHARE, ImageAdapter, Vectors

try:
    import torch
except ImportError as error:
    raise MissingDependencyError(
        "torch is not installed.", hint="Type: uv pip install 'ameli-llm[retrieval]'"
    ) from error

Ids: TypeAlias = npt.NDArray[np.int64]
Weights: TypeAlias = dict[str, torch.Tensor]
Progress: TypeAlias = Callable[[str, int, int], None]
SEARCH_STEP = 256


@dataclass(frozen=True)
class Pairs:
    """Positive pairs: rows i of ``review`` [n, d] and ``entity`` [n, d] show the product ``entity_id[i]``."""

    review: Vectors
    entity: Vectors
    entity_id: Ids


@dataclass(frozen=True)
class ImageSearch:
    """Reviews with known products and the product images among which they are searched.

    ``review`` [q, d] with ``review_row`` [q], the review that each image belongs to, counted from 0;
    ``gold`` holds a product id per review; ``images`` [m, d] with ``owner`` [m], their product ids.
    """

    review: Vectors
    review_row: Ids
    gold: Ids
    images: Vectors
    owner: Ids


@dataclass(frozen=True)
class TrainingSettings:
    """How the adapter is trained.

    ``bottleneck`` 0 is a quarter of the vectors' size, as in the official code. ``temperature`` divides the
    cosines; the paper's equation has none, which is 1. ``patience`` is how many epochs without a better
    Recall@1 on dev are waited for.
    """

    form: Literal["paper", "official"] = "paper"
    epochs: int = 30
    learning_rate: float = 1e-3
    batch_size: int = 64
    bottleneck: int = 0
    temperature: float = 1.0
    patience: int = 10


@dataclass(frozen=True, slots=True)
class Epoch:
    """Mean loss over the training pairs during the epoch, Recall@1 on dev after it. Epoch 0 is untrained."""

    number: int
    loss: float
    dev_recall: float | None


def train_adapter(
    pairs: Pairs,
    dev: ImageSearch | None = None,
    settings: TrainingSettings | None = None,
    *,
    seed: int = 0,
    encoder: str = "",
    progress: Progress | None = None,
) -> tuple[ImageAdapter, list[Epoch]]:
    """The adapter of the best epoch by Recall@1 on dev (the earliest of equals), and all epochs.

    Without ``dev`` the last epoch's. The best may be epoch 0, whose adapter is the identity: a training
    that does not help on dev changes nothing. The same inputs and seed give the same weights on one machine.
    Raises AmeliError when the pairs are of one product only or when the loss is not finite.
    """
    settings = settings or TrainingSettings()
    _check(pairs)
    generator = torch.Generator().manual_seed(seed)
    shuffle = np.random.default_rng(seed)
    dimension = pairs.review.shape[1]
    weights = _initial_weights(dimension, settings, generator)
    optimizer = torch.optim.Adam(weights.values(), lr=settings.learning_rate)
    training = asdict(settings) | {"seed": seed}

    def snapshot() -> ImageAdapter:
        arrays = {name: tensor.detach().numpy().copy() for name, tensor in weights.items()}
        return ImageAdapter(dimension, settings.form, arrays, encoder, training)

    best = ImageAdapter(dimension, encoder=encoder, training=training)
    history = [Epoch(0, _mean_loss(pairs, {}, settings), _dev_recall(best, dev))]
    best_epoch = history[0]
    for number in range(1, settings.epochs + 1):
        loss = _run_epoch(pairs, weights, optimizer, settings, shuffle)
        if not math.isfinite(loss):
            raise AmeliError(
                f"Training diverged: the loss of epoch {number} is {loss}.",
                hint=f"Use a lower learning rate than {settings.learning_rate:g} or a higher temperature "
                f"than {settings.temperature:g}.",
            )
        adapter = snapshot()
        history.append(Epoch(number, loss, _dev_recall(adapter, dev)))
        if _is_better(history[-1], best_epoch):
            best, best_epoch = adapter, history[-1]
        if progress:
            progress("epochs", number, settings.epochs)
        if dev and number - best_epoch.number >= settings.patience:
            break
    return best, history


def recall_at_1(adapter: ImageAdapter, search: ImageSearch) -> float:
    """Share of reviews whose product has the most similar image; the maximum over image pairs counts.

    0 to 1. Of equally similar products the one with the smaller id is taken.
    """
    order = np.argsort(search.owner, kind="stable")
    owners, starts = np.unique(search.owner[order], return_index=True)
    images = adapter.entity(search.images)[order]
    queries = adapter.review(search.review)
    best = np.full((len(search.gold), len(owners)), -np.inf, dtype=np.float32)
    for start in range(0, len(queries), SEARCH_STEP):
        similarity = queries[start : start + SEARCH_STEP] @ images.T
        by_product = np.maximum.reduceat(similarity, starts, axis=1)
        np.maximum.at(best, search.review_row[start : start + SEARCH_STEP], by_product)
    return float(np.mean(owners[best.argmax(axis=1)] == search.gold))


def _dev_recall(adapter: ImageAdapter, dev: ImageSearch | None) -> float | None:
    return None if dev is None else recall_at_1(adapter, dev)


def _is_better(epoch: Epoch, than: Epoch) -> bool:
    return epoch.dev_recall is None or than.dev_recall is None or epoch.dev_recall > than.dev_recall


def _check(pairs: Pairs) -> None:
    if pairs.review.shape != pairs.entity.shape or len(pairs.review) != len(pairs.entity_id):
        raise AmeliError(
            f"Review vectors {list(pairs.review.shape)}, product vectors {list(pairs.entity.shape)} and "
            f"{len(pairs.entity_id)} product ids are not pairs."
        )
    for what, vectors in (("review", pairs.review), ("product", pairs.entity)):
        if not np.isfinite(vectors).all():
            raise AmeliError(f"The vectors of the {what} images are not all finite numbers.")
    products = len(np.unique(pairs.entity_id))
    if products < 2:
        raise AmeliError(
            f"{len(pairs.review)} image pairs of {products} product(s) are too few to contrast.",
            hint="Training needs reviews with images of at least two products with images.",
        )


def _initial_weights(dimension: int, settings: TrainingSettings, generator: torch.Generator) -> Weights:
    """W1 random. W2 zero in the paper's form, which starts as the identity; random in the official one,
    whose outer ReLU passes no gradient at zero."""
    hidden = settings.bottleneck or max(1, dimension // 4)
    weights = {}
    for side in ("review", "entity") if settings.form == "paper" else ("shared",):
        weights[f"{side}.w1"] = torch.randn(dimension, hidden, generator=generator) / math.sqrt(dimension)
        spread = 0.0 if settings.form == "paper" else 1 / math.sqrt(hidden)
        weights[f"{side}.w2"] = torch.randn(hidden, dimension, generator=generator) * spread
    return {name: tensor.requires_grad_() for name, tensor in weights.items()}


def _adapt(vectors: torch.Tensor, weights: Weights, side: str) -> torch.Tensor:
    if not weights:
        return vectors
    if "shared.w1" in weights:
        adapted = ((vectors @ weights["shared.w1"]).relu() @ weights["shared.w2"]).relu()
        return (1 - OFFICIAL_SHARE) * vectors + OFFICIAL_SHARE * adapted
    return vectors + (vectors @ weights[f"{side}.w1"]).relu() @ weights[f"{side}.w2"]


def _loss(pairs: Pairs, rows: Ids, weights: Weights, settings: TrainingSettings) -> torch.Tensor:
    normalize = torch.nn.functional.normalize
    reviews = normalize(_adapt(torch.from_numpy(pairs.review[rows]), weights, "review"))
    entities = normalize(_adapt(torch.from_numpy(pairs.entity[rows]), weights, "entity"))
    logits = reviews @ entities.T / settings.temperature
    ids = torch.from_numpy(pairs.entity_id[rows])
    # Another pair of the same product is no negative.
    same = (ids[:, None] == ids[None, :]) & ~torch.eye(len(rows), dtype=torch.bool)
    logits = logits.masked_fill(same, -torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(rows)))


def _run_epoch(
    pairs: Pairs,
    weights: Weights,
    optimizer: torch.optim.Optimizer,
    settings: TrainingSettings,
    shuffle: np.random.Generator,
) -> float:
    order = shuffle.permutation(len(pairs.review))
    total = 0.0
    for start in range(0, len(order), settings.batch_size):
        rows = order[start : start + settings.batch_size]
        loss = _loss(pairs, rows, weights, settings)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(order)


def _mean_loss(pairs: Pairs, weights: Weights, settings: TrainingSettings) -> float:
    total = 0.0
    for start in range(0, len(pairs.review), settings.batch_size):
        rows = np.arange(start, min(start + settings.batch_size, len(pairs.review)))
        total += float(_loss(pairs, rows, weights, settings).detach()) * len(rows)
    return total / len(pairs.review)

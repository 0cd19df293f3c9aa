"""Trains the image adapter of retrieval and fusion on a split (paper, section 4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ameli_llm.dataset.folds import folds
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError, MissingDependencyError
from ameli_llm.images.adapter import ImageAdapter
from ameli_llm.images.pairs import ImageSearch, Pairs
from ameli_llm.training.checkpoint import discard
from ameli_llm.types import Progress
from eval.baselines._images import image_pairs, image_search
from eval.baselines.material import Material
from retrieval.index import Index
from retrieval.manifest import require_image_encoder

if TYPE_CHECKING:
    from ameli_llm.images.contrastive import TrainingSettings
    from ameli_llm.training.loop import Epoch

CHECKPOINT = "checkpoint"


class UntrainableError(AmeliError):
    """The dataset has too few images to train or to choose on."""


def train_image_adapter(
    dataset: Dataset,
    split: str,
    index: Index,
    out: Path,
    settings: TrainingSettings,
    seed: int,
    progress: Progress,
    source: Mapping[str, Any],
    encoder: str = "",
) -> tuple[ImageAdapter, Sequence[Epoch]]:
    """The adapter of one image encoder of the index ("": its first), saved in ``out``, and how it went.

    It is trained on the image pairs of ``split`` and chosen on dev or, where that is the split or there is
    none, on a fifth of the products. ``source`` is kept with the weights. Typed again after an interruption
    it goes on where it was. Raises UntrainableError, and AmeliError when the index has no vectors of it.
    """
    from ameli_llm.images.contrastive import train_adapter

    stamp = require_image_encoder(index.manifest, encoder)
    pairs, dev = _data(dataset, split, Material(dataset, index, {}, stamp.name), seed)
    checkpoints = out / CHECKPOINT
    adapter, history = train_adapter(
        pairs, dev, settings, seed=seed, encoder=str(stamp), progress=progress, checkpoints=checkpoints
    )
    counts = {"pairs": len(pairs.product), "dev_reviews": len(dev.gold)}
    adapter = replace(adapter, training={**adapter.training, **source, **counts})
    adapter.save(out)
    discard(checkpoints)
    return adapter, history


def _data(dataset: Dataset, split: str, material: Material, seed: int) -> tuple[Pairs, ImageSearch]:
    """Image pairs of ``split`` and reviews for early stopping, which share no gold product."""
    train, dev = folds(dataset, split, seed)
    try:
        pairs, search = image_pairs(material, train), image_search(material, dev)
    except MissingDependencyError:
        raise
    except AmeliError as error:
        raise UntrainableError(error.message, hint=error.hint) from error
    if len(np.unique(pairs.product)) < 2:
        raise UntrainableError(f"{train.name} has no two products with an image of both sides")
    return pairs, search

"""Table 4 in the making: the image adapter and the fine-tuned text encoder that its rows need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ameli_llm.cli.train.sbert import fine_tune_sbert
from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError, MissingDependencyError
from ameli_llm.types import Progress

if TYPE_CHECKING:
    from eval.baselines.tasks import Fold
    from retrieval.index import Index

ADAPTER = "clip-adapter"
TEXT_MODEL = "sbert"
CHECKPOINT = "checkpoint"
TEMPERATURE = 0.05
"""Of the adapter's loss: the official code fine-tunes retrieval on cosines times 20."""
LEARNING_RATE = 3e-4
"""Of the adapter, as V2VEL's."""


class UntrainableError(AmeliError):
    """A part that this dataset cannot train; its rows stay in the table with this reason."""


@dataclass(frozen=True)
class Trained:
    """Folders of what was trained; where that failed, "" and the reason by part of a ``Method``."""

    adapter: str
    text_model: str
    untrained: Mapping[str, str]
    notes: tuple[str, ...]


def train_missing(
    data: Dataset,
    train: Fold,
    choose: Fold,
    index: Index,
    config: RunConfig,
    models: Path,
    epochs: int | None,
    seed: int,
    show: Progress,
) -> Trained:
    """The image adapter and the fine-tuned text encoder, trained unless they are there."""
    from eval.table4.methods import ADAPTED
    from retrieval.finetune import FineTuning

    adapter, untrained, notes = config.retrieval.image_adapter, {}, []
    if adapter:
        notes.append(f"image adapter: {adapter}, as configured")
    elif index.manifest.images:
        try:
            notes.append(_adapter(data, train, choose, index, models / ADAPTER, epochs, seed, show))
            adapter = str(models / ADAPTER)
        except UntrainableError as error:
            untrained[ADAPTED] = str(error)
    settings = FineTuning() if epochs is None else FineTuning(epochs=epochs)
    done = fine_tune_sbert(data, train, choose, index, models / TEXT_MODEL, settings, seed, show)
    notes.append(f"fine-tuned SBERT: {done.summary()}")
    return Trained(adapter, str(models / TEXT_MODEL), untrained, tuple(notes))


def _adapter(
    data: Dataset,
    train: Fold,
    choose: Fold,
    index: Index,
    folder: Path,
    epochs: int | None,
    seed: int,
    show: Progress,
) -> str:
    """Trains the image adapter into ``folder`` unless it is there; a line on it."""
    from ameli_llm.cli.training import image_training_data
    from ameli_llm.images.adapter import DESCRIPTION, ImageAdapter
    from ameli_llm.images.contrastive import TrainingSettings, train_adapter
    from ameli_llm.training.checkpoint import discard

    settings = TrainingSettings(temperature=TEMPERATURE, learning_rate=LEARNING_RATE)
    if epochs is not None:
        settings = replace(settings, epochs=epochs)
    whole = data.split(train.name)
    source = {
        "dataset": data.digest,
        "split": train.name,
        "split_digest": whole.digest,
        "dev": choose.name,
        "dev_digest": data.split(choose.name).digest,
    }
    if (folder / DESCRIPTION).is_file():
        adapter = ImageAdapter.load(folder)
        _require_same(folder, {**asdict(settings), "seed": seed, **source}, adapter.training)
    else:
        try:
            pairs, dev = image_training_data(data, whole, index, seed)
        except MissingDependencyError:
            raise
        except AmeliError as error:
            raise UntrainableError(error.message, hint=error.hint) from error
        if len(np.unique(pairs.entity_id)) < 2:
            raise UntrainableError(f"{train.name} has no two products with an image of both sides")
        adapter, _ = train_adapter(
            pairs,
            dev,
            settings,
            seed=seed,
            encoder=str(index.manifest.image),
            progress=show,
            checkpoints=folder / CHECKPOINT,
        )
        adapter = replace(adapter, training={**adapter.training, **source, "pairs": len(pairs.entity_id)})
        adapter.save(folder)
        discard(folder / CHECKPOINT)
    kind = "the identity, as no epoch was better on dev" if adapter.form == "identity" else "trained"
    return f"image adapter: {kind}, on {adapter.training['pairs']} image pairs of {train.name}"


def _require_same(folder: Path, asked: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    other = sorted(key for key in asked if found.get(key) != asked[key])
    if other:
        raise AmeliError(
            f"{folder} holds a model that was trained otherwise: {', '.join(other)}.",
            hint="Name another --out, or delete it.",
        )

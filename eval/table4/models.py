"""Table 4 in the making: the image adapter and the fine-tuned text encoder that its rows need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ameli_llm.config import RunConfig
from ameli_llm.dataset.folds import Fold
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.images.adapter import DESCRIPTION, ImageAdapter
from ameli_llm.types import Progress
from eval.image_adapter import UntrainableError, train_image_adapter
from eval.table4.methods import ADAPTED
from retrieval.finetuning.description import FineTuning
from retrieval.finetuning.reviews import fine_tune_sbert
from retrieval.index import Index

ADAPTER = "clip-adapter"
TEXT_MODEL = "sbert"


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
    progress: Progress,
) -> Trained:
    """The image adapter and the fine-tuned text encoder, trained unless they are there."""

    adapter, untrained, notes = config.retrieval.image_adapter, {}, []
    if adapter:
        notes.append(f"image adapter: {adapter}, as configured")
    elif index.manifest.images:
        try:
            notes.append(_adapter(data, train, choose, index, models / ADAPTER, epochs, seed, progress))
            adapter = str(models / ADAPTER)
        except UntrainableError as error:
            untrained[ADAPTED] = str(error)
    settings = FineTuning() if epochs is None else FineTuning(epochs=epochs)
    done = fine_tune_sbert(data, train, choose, index, models / TEXT_MODEL, settings, seed, progress)
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
    progress: Progress,
) -> str:
    """Trains the image adapter into ``folder`` unless it is there; a line on it."""
    from ameli_llm.images.contrastive import TrainingSettings

    settings = TrainingSettings()
    if epochs is not None:
        settings = replace(settings, epochs=epochs)
    source = {
        "dataset": data.digest,
        "split": train.name,
        "split_digest": data.split(train.name).digest,
        "dev": choose.name,
        "dev_digest": data.split(choose.name).digest,
    }
    if (folder / DESCRIPTION).is_file():
        adapter = ImageAdapter.load(folder)
        _require_same(folder, {**asdict(settings), "seed": seed, **source}, adapter.training)
    else:
        adapter, _ = train_image_adapter(data, train.name, index, folder, settings, seed, progress, source)
    kind = "the identity, as no epoch was better on dev" if adapter.form == "identity" else "trained"
    return f"image adapter: {kind}, on {adapter.training['pairs']} image pairs of {train.name}"


def _require_same(folder: Path, asked: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    other = sorted(key for key in asked if found.get(key) != asked[key])
    if other:
        raise AmeliError(
            f"{folder} holds a model that was trained otherwise: {', '.join(other)}.",
            hint="Name another --out, or delete it.",
        )

"""Table 5 in the making: what was asked for, reviews to train on, and the models that the rows need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ameli_llm.config import RunConfig
from ameli_llm.dataset.folds import Fold, folds
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.types import Progress
from eval.baselines import amelink, v2tel, v2vel, v2vtel
from eval.baselines.amelink.settings import AmelinkSettings, settings_for
from eval.baselines.baseline import Example
from eval.baselines.material import Material
from eval.baselines.tasks import examples, folded
from eval.experiment import candidate_run
from eval.table5.rows import Row

TRAINED = ("v2vel", "v2tel", "v2vtel", "amelink")
"""Baselines that are trained before they score."""

NEED_IMAGES = ("v2vel", "v2tel", "v2vtel")
"""Baselines that have nothing to say without images."""


@dataclass(frozen=True)
class Asked:
    """What was asked for. ``config`` may name an engine; ``rows`` are keys of rows, empty for all."""

    split: str
    train_split: str
    out: Path
    config: RunConfig
    index: Path | None
    preset: Literal["paper", "official"]
    encoder: str
    rows: tuple[str, ...]
    epochs: int | None
    seed: int
    limit: int | None
    prompts: Path | None = None


@dataclass(frozen=True)
class Folds:
    """Reviews to train and to choose on, without those whose product is gold in the reported split.

    ``left_out`` counts the reviews that were left out for that.
    """

    train: Fold
    dev: Fold
    left_out: int


def split_folds(data: Dataset, reported: Split, asked: Asked) -> Folds:
    """The folds for training. Raises AmeliError when one of them is empty or is the reported split."""

    made, left_out = [], 0
    shown = {product for product in reported.gold.values() if product is not None}
    for fold, use in zip(
        folds(data, asked.train_split, asked.seed), ("trained on", "chosen on"), strict=True
    ):
        if fold.name == reported.name:
            raise AmeliError(
                f"{reported.name} is reported and {use}.", hint="Name other splits: --split, --train-split."
            )
        reviews = tuple(review for review in fold.reviews if fold.gold[review.id] not in shown)
        if not reviews:
            raise AmeliError(
                f"Every product that {fold.name} could be {use} with is gold in {reported.name} too.",
                hint="Splits must not share gold products.",
            )
        left_out += len(fold.reviews) - len(reviews)
        made.append(Fold(fold.name, reviews, {review.id: fold.gold[review.id] for review in reviews}))
    return Folds(made[0], made[1], left_out)


def amelink_settings(asked: Asked) -> AmelinkSettings:
    """The preset's settings with the encoder, K and epochs that were asked for. Raises AmeliError."""

    changes: dict[str, Any] = {"candidates": asked.config.retrieval.candidates}
    if asked.epochs:
        changes |= {"epochs": asked.epochs, "adapter_epochs": asked.epochs}
    return settings_for(asked.preset, asked.encoder, changes)


def lacking(row: Row, material: Material) -> str:
    """What the row needs and the index does not have; "" for nothing."""
    manifest = material.index.manifest
    if row.baseline not in NEED_IMAGES and row.variant != "without text":
        return ""
    if manifest.image is None:
        return "needs image vectors: set retrieval.image_encoder to clip, resnet or descriptor."
    return "" if manifest.images else "needs product images, and the dataset has none."


class Models:
    """Trained baselines, each in a folder of ``out``/models; what is finished there is not trained again."""

    def __init__(
        self,
        data: Dataset,
        material: Material,
        folds: Folds,
        variants: Sequence[str],
        asked: Asked,
        progress: Progress,
    ) -> None:
        self._data = data
        self._material = material
        self._folds = folds
        self._variants = variants
        self._asked = asked
        self._progress = progress
        self._done: set[str] = set()
        self._found: dict[str, list[Example]] = {}

    def folder(self, name: str) -> Path:
        """The folder to make the baseline of that name from, trained if it was not. Raises AmeliError.

        V2VTEL's is the folder above, which holds its two parts.
        """
        models = self._asked.out / "models"
        place = models if name == "v2vtel" else models / name
        if name not in self._done:
            self._train(name, place)
            self._done.add(name)
        return place

    def _train(self, name: str, place: Path) -> None:

        train, dev = self._folds.train, self._folds.dev
        how: dict[str, Any] = {"seed": self._asked.seed, "progress": self._progress}
        if name == "amelink":
            settings = amelink_settings(self._asked)
            shown = self._examples(train), self._examples(dev)
            amelink.train(self._material, *shown, place, settings, self._variants, **how)
            return
        preset, epochs = self._asked.preset, self._asked.epochs
        changes: dict[str, Any] = {"epochs": epochs} if epochs else {}
        first, second = replace(v2vel.PRESETS[preset], **changes), replace(v2tel.PRESETS[preset], **changes)
        both = v2vtel.Settings(first, second)
        if both.needs_candidates:
            train, dev = (folded(fold.name, self._examples(fold)) for fold in (train, dev))
        if name == "v2vel":
            v2vel.train(self._material, train, dev, place, first, **how)
        elif name == "v2tel":
            v2tel.train(self._material, train, dev, place, second, **how)
        else:
            v2vtel.train(self._material, train, dev, place, both, **how)

    def _examples(self, fold: Fold) -> list[Example]:
        """The fold's reviews with the candidates that our linker without a model finds for them."""

        if fold.name not in self._found:
            config, place = self._asked.config, self._asked.out / "candidates" / fold.name
            rows = candidate_run(self._data, fold.name, config, self._asked.index, place, self._progress)
            self._found[fold.name] = examples(rows, fold, config.retrieval.candidates)
        return self._found[fold.name]

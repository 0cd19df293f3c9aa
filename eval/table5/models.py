"""Table 5 in the making: what was asked for, reviews to train on, and the models that the rows need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ameli_llm.config import RunConfig
from ameli_llm.dataset.folds import Fold, folds
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.types import Progress
from eval.baselines.baseline import Preset
from eval.baselines.course import Course
from eval.baselines.declared import Declared, Wanted
from eval.baselines.material import Material
from eval.table5.rows import Row


@dataclass(frozen=True)
class Asked:
    """What was asked for. ``config`` may name an engine; ``rows`` are keys of rows, empty for all.

    ``image_encoder`` is the one of the baselines, "" for the first of the index.
    """

    split: str
    train_split: str
    out: Path
    config: RunConfig
    index: Path | None
    preset: Preset
    encoder: str
    rows: tuple[str, ...]
    epochs: int | None
    seed: int
    limit: int | None
    prompts: Path | None = None
    image_encoder: str = ""

    @property
    def wanted(self) -> Wanted:
        """What baselines are to make their settings for."""
        return Wanted(self.preset, self.epochs, self.encoder, self.config.retrieval.candidates)


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


def lacking(row: Row, material: Material) -> str:
    """What the row needs and the index does not have; "" for nothing."""
    manifest = material.index.manifest
    if not row.needs_images:
        return ""
    if material.image_stamp is None:
        return "needs image vectors: set retrieval.image_encoders, for instance to [descriptor]."
    return "" if manifest.images else "needs product images, and the dataset has none."


class Models:
    """Trained baselines, each in a folder of ``out``/models; what is finished there is not trained again."""

    def __init__(self, course: Course | None, rows: Sequence[Row], asked: Asked, progress: Progress) -> None:
        """``rows`` are those to make: a baseline is trained for what they need of it."""
        self._course = course
        self._rows = rows
        self._asked = asked
        self._progress = progress
        self._done: set[str] = set()

    def folder(self, baseline: Declared) -> Path | None:
        """The folder to make the baseline from, trained if it was not; None for one that is not trained.

        That of a baseline of several parts is the folder above, which holds them. Raises AmeliError.
        """
        settings = baseline.settings(self._asked.wanted)
        if settings is None or self._course is None:
            return None
        models = self._asked.out / "models"
        place = models if baseline.parts else models / baseline.name
        if baseline.name not in self._done:
            variants = [row.variant for row in self._rows if row.baseline == baseline.name and row.variant]
            how = self._asked.seed, self._progress
            baseline.train(self._course, place, settings, variants, *how)
            self._done.add(baseline.name)
        return place

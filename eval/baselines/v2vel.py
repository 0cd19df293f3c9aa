"""V2VEL: a review image against product images through the image adapter (Sun et al. 2022; section 5.2).

It adapts the vectors of whatever image encoder the index has. Killed and typed again, it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId
from ameli_llm.images import weights
from ameli_llm.images.adapter import DESCRIPTION, WEIGHTS, ImageAdapter
from ameli_llm.types import Progress
from eval.baselines import _folder, _lists
from eval.baselines._folder import Trained
from eval.baselines._images import (
    image_pairs,
    image_search,
    nearest,
    require_choice,
    require_images,
    review_images,
    task_images,
)
from eval.baselines._names import image_title
from eval.baselines._settings import (
    AdapterForm,
    BatchSize,
    CountedImages,
    Epochs,
    GoldImage,
    LearningRate,
    Temperature,
)
from eval.baselines.baseline import Example, Floats, Preset, Scored, TableRow, Task
from eval.baselines.material import Material
from eval.baselines.options import Option, changed

NAME = "v2vel"


@dataclass(frozen=True)
class Settings:
    """How V2VEL is trained. Raises AmeliError for values that are not possible.

    ``form``: the paper's adapter (weights of its own for each side), or the official code's shared one with
    its 0.2/0.8 mix. ``images``: "all" takes the greatest cosine over all pairs, "first" the paper's one
    image a side, "selected" one pair that is chosen before the adapter, by the review's candidates or, with
    ``gold_image`` and on train and dev only, by its gold product (both official; the latter is a leak).
    ``negatives``: the other products of the batch, or also the candidates of its reviews (official).
    ``temperature`` divides the cosines; the paper's loss has none, which is 1.
    Numbers that the paper does not give were chosen on the synthetic twin's dev split.
    """

    form: AdapterForm = "paper"
    images: CountedImages = "all"
    gold_image: GoldImage = False
    negatives: Annotated[
        Literal["batch", "candidates"],
        Option("V2VEL's negatives: the products of the batch, or also its reviews' candidates."),
    ] = "batch"
    epochs: Epochs = 30
    learning_rate: LearningRate = 3e-4
    batch_size: BatchSize = 64
    temperature: Temperature = 0.07
    patience: int = 10

    def __post_init__(self) -> None:
        require_choice("form", self.form, Literal["paper", "official"])
        require_images(self.images, self.gold_image)
        require_choice("negatives", self.negatives, Literal["batch", "candidates"])

    @property
    def needs_candidates(self) -> bool:
        """Whether training looks at the candidates of its reviews."""
        return self.negatives == "candidates" or (self.images == "selected" and not self.gold_image)


PRESETS: Mapping[Preset, Settings] = MappingProxyType(
    {
        "paper": Settings(),
        "official": Settings(
            form="official", images="selected", gold_image=True, negatives="candidates", temperature=1.0
        ),
    }
)
"""The paper leaves most open; official is what the released code does (class V2VELCLIP)."""


class V2VEL:
    """Cosines of adapted image vectors; no opinion on a review or a product without a usable image."""

    def __init__(self, material: Material, adapter: ImageAdapter, settings: Settings) -> None:
        self._material = material
        self._adapter = adapter
        self._settings = settings
        self._products: dict[EntityId, Floats] = {}

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """Cosines [K] for each task."""
        return self._scores(tasks, task_images(self._material, tasks, self._settings.images, progress))

    def score_examples(self, examples: Sequence[Example], progress: Progress | None = None) -> list[Scored]:
        """Cosines [K] for each example, with the images that the training counts on dev.

        Weights that were trained with ``gold_image`` look at the image that the gold product selects: these
        scores are for choices on dev, none that is reported.
        """
        tasks = [one.task for one in examples]
        if not self._settings.gold_image:
            return self.score(tasks, progress)
        reviews = [task.review for task in tasks]
        beside = {one.task.review.id: (one.gold,) for one in examples}
        return self._scores(
            tasks, review_images(self._material, reviews, self._settings.images, progress, beside)
        )

    def _scores(self, tasks: Sequence[Task], found: Sequence[Floats]) -> list[Scored]:
        return [self._scored(task, vectors) for task, vectors in zip(tasks, found, strict=True)]

    def _scored(self, task: Task, vectors: Floats) -> Scored:
        scores = np.full(len(task.candidates), np.nan, dtype=np.float32)
        if len(vectors):
            queries = self._adapter.review(vectors)
            for position, entity in enumerate(task.entity_ids):
                shown = self._shown(entity, vectors)
                if len(shown):
                    scores[position] = (queries @ shown.T).max()
        return Scored(total=scores, image=scores)

    def _shown(self, entity: EntityId, vectors: Floats) -> Floats:
        """The adapted images of the product that count for a review with these vectors."""
        plain = self._material.product_images(entity)
        if entity not in self._products:
            self._products[entity] = self._adapter.entity(plain)
        adapted = self._products[entity]
        if self._settings.images == "all" or not len(plain):
            return adapted
        return adapted[nearest(vectors, plain, self._settings.images)]

    def describe(self) -> Mapping[str, Any]:
        """Encoder, adapter and training."""
        return {
            "title": title(self._material),
            "image_encoder": self._material.image_encoder,
            "adapter": self._adapter.form,
            "images": self._settings.images,
            "leaks": _folder.leaks(self._settings.gold_image),
            "weights": self._adapter.training["weights"],
            "training": dict(self._adapter.training["made_of"]),
        }

    def title(self, name: str) -> str:
        """The name with the image encoder."""
        return f"{name} ({encoder(self._material)})"


def rows() -> tuple[TableRow, ...]:
    """Its row of the paper's table."""
    return (TableRow(NAME, needs_images=True),)


def configured(preset: Preset, epochs: int | None) -> Settings:
    """The settings of the preset, with so many epochs at most (None: the preset's)."""
    return changed(PRESETS[preset], {"epochs": epochs})


def encoder(material: Material) -> str:
    """Short name of the index's image encoder. Raises AmeliError in an index without any."""
    return image_title(material.require_images())


def title(material: Material) -> str:
    """Its name with the encoder that it is trained on."""
    return f"V2VEL ({encoder(material)})"


def create(material: Material, folder: Path | None) -> V2VEL:
    """The baseline with the weights that ``train`` wrote to ``folder``.

    Raises AmeliError when they are missing, damaged, of another size or of another encoder.
    """
    stamp = material.require_images()
    adapter = _load(_folder.require_folder(NAME, folder))
    try:
        adapter.require(stamp.dimension, str(stamp))
    except AmeliError as error:
        raise AmeliError(error.message, hint=_folder.how_to_train(NAME)) from error
    return V2VEL(material, adapter, Settings(**adapter.training["made_of"]["settings"]))


def train(
    material: Material,
    train: Fold,
    dev: Fold,
    out: Path,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """Trains the adapter on ``train`` and saves to ``out``; Recall@1 over all products on ``dev`` chooses.

    The folds' candidates are needed where ``settings.needs_candidates``. A training that was killed goes on,
    a finished one is left as it is. Raises AmeliError when ``out`` holds the weights of another training, or
    the folds have too few images or no candidates.
    """
    settings = settings or Settings()
    stamp = material.require_images()
    encoders, lists = {"image": str(stamp)}, settings.needs_candidates
    made_of = _folder.made_of(material, train, dev, asdict(settings), encoders, seed, lists)
    done = _folder.finished(title(material), out, DESCRIPTION, lambda folder: _load(folder).training, made_of)
    if done:
        return done
    from ameli_llm.images.contrastive import TrainingSettings, train_adapter
    from ameli_llm.training.checkpoint import discard

    images = settings.images
    others = _lists.others(train) if settings.negatives == "candidates" else {}
    beside = [_lists.beside(fold, images, settings.gold_image) for fold in (train, dev)]
    pairs = image_pairs(material, train, images, progress, beside[0], others)
    search = image_search(material, dev, images, progress, beside[1])
    adapter, history = train_adapter(
        pairs,
        search,
        TrainingSettings(
            form=settings.form,
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            temperature=settings.temperature,
            patience=settings.patience,
        ),
        seed=seed,
        encoder=str(stamp),
        progress=progress,
        checkpoints=out / _folder.CHECKPOINTS,
    )
    training = _folder.record(NAME, made_of, len(pairs.product), len(search.gold), history)
    replace(adapter, training=training).save(out)
    discard(out / _folder.CHECKPOINTS)
    return _folder.summary(title(material), out, training, already=False)


def _load(folder: Path) -> ImageAdapter:
    """The adapter of a V2VEL, with the digest of its weights among what is known of its training."""
    adapter = ImageAdapter.load(folder)
    if adapter.training.get("baseline") != NAME:
        raise AmeliError(f"{folder} holds an adapter, but no V2VEL.", hint=_folder.how_to_train(NAME))
    return replace(adapter, training={**adapter.training, "weights": weights.digest(folder / WEIGHTS)})

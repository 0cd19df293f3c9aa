"""V2VEL: a review image against product images through the image adapter (Sun et al. 2022; section 5.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ameli_llm.errors import AmeliError
from ameli_llm.fusion.adapter import DESCRIPTION, WEIGHTS, ImageAdapter
from eval.baselines import _folder
from eval.baselines._folder import Trained
from eval.baselines._images import Images, chosen, image_pairs, image_search, require_choice, review_images
from eval.baselines._names import image_title
from eval.baselines.baseline import Floats, Progress, Scored, Task
from eval.baselines.material import Material
from eval.baselines.tasks import Fold

NAME = "v2vel"


@dataclass(frozen=True)
class Settings:
    """How V2VEL is trained.

    ``form``: the paper's adapter (weights of its own for each side), or the official code's shared one with
    its 0.2/0.8 mix. ``images``: "all" takes the greatest cosine over all pairs, "first" the paper's one
    image a side. ``temperature`` divides the cosines; the paper's loss has none, which is 1.
    Numbers that the paper does not give were chosen on the synthetic twin's dev split.
    """

    form: Literal["paper", "official"] = "paper"
    images: Images = "all"
    epochs: int = 30
    learning_rate: float = 3e-4
    batch_size: int = 64
    temperature: float = 0.07
    patience: int = 10


class V2VEL:
    """Cosines of adapted image vectors; no opinion on a review or a product without a usable image."""

    def __init__(self, material: Material, adapter: ImageAdapter, images: Images, weights: str = "") -> None:
        self._material = material
        self._adapter = adapter
        self._images = images
        self._weights = weights
        self._products: dict[int, Floats] = {}

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """Cosines [K] for each task."""
        found = review_images(self._material, [task.review for task in tasks], self._images, progress)
        return [self._scored(task, vectors) for task, vectors in zip(tasks, found, strict=True)]

    def _scored(self, task: Task, vectors: Floats) -> Scored:
        scores = np.full(len(task.candidates), np.nan, dtype=np.float32)
        if len(vectors):
            queries = self._adapter.review(vectors)
            for position, entity in enumerate(task.entity_ids):
                shown = self._shown(entity)
                if len(shown):
                    scores[position] = (queries @ shown.T).max()
        return Scored(total=scores, image=scores)

    def _shown(self, entity: int) -> Floats:
        if entity not in self._products:
            vectors = chosen(self._material.product_images(entity), self._images)
            self._products[entity] = self._adapter.entity(vectors)
        return self._products[entity]

    def describe(self) -> Mapping[str, Any]:
        """Encoder, adapter and training."""
        return {
            "title": title(self._material),
            "image_encoder": self._material.image_encoder,
            "adapter": self._adapter.form,
            "images": self._images,
            "weights": self._weights,
            "training": dict(self._adapter.training.get("made_of", {})),
        }


def title(material: Material) -> str:
    """Name of the row, with the encoder that it was really run with."""
    return f"V2VEL ({image_title(_folder.require_image_encoder(material))})"


def create(material: Material, folder: Path | None, variant: str = "", seed: int = 0) -> V2VEL:
    """The baseline with the weights that ``train`` wrote to ``folder``.

    Raises AmeliError when they are missing, damaged, of another size or of another encoder.
    """
    _folder.refuse_variant(NAME, variant)
    stamp = _folder.require_image_encoder(material)
    adapter = _load(_folder.require_folder(NAME, folder))
    try:
        adapter.require(stamp.dimension, str(stamp))
    except AmeliError as error:
        raise AmeliError(error.message, hint=_folder.how_to_train(NAME)) from error
    images = adapter.training["made_of"]["settings"]["images"]
    return V2VEL(material, adapter, images, adapter.training["weights"])


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

    A training that was killed goes on, a finished one is left as it is. Raises AmeliError when ``out`` holds
    the weights of another training, or the folds have too few images.
    """
    settings = settings or Settings()
    require_choice("form", settings.form, Literal["paper", "official"])
    require_choice("images", settings.images, Images)
    stamp = _folder.require_image_encoder(material)
    made_of = _folder.made_of(material, train, dev, asdict(settings), {"image": str(stamp)}, seed)
    if (out / DESCRIPTION).is_file():
        found = _load(out)
        _folder.require_same(out, found.training["made_of"], made_of)
        return _folder.summary(title(material), out, found.training, already=True)
    from ameli_llm.fusion.contrastive import TrainingSettings, train_adapter
    from ameli_llm.training.checkpoint import discard

    pairs = image_pairs(material, train, settings.images, progress)
    search = image_search(material, dev, settings.images, progress)
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
    training = _folder.record(NAME, made_of, len(pairs.entity_id), len(search.gold), history)
    replace(adapter, training=training).save(out)
    discard(out / _folder.CHECKPOINTS)
    return _folder.summary(title(material), out, training, already=False)


def _load(folder: Path) -> ImageAdapter:
    """The adapter of a V2VEL, with the digest of its weights among what is known of its training."""
    adapter = ImageAdapter.load(folder)
    if adapter.training.get("baseline") != NAME:
        raise AmeliError(f"{folder} holds an adapter, but no V2VEL.", hint=_folder.how_to_train(NAME))
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:16]
    return replace(adapter, training={**adapter.training, "weights": digest})

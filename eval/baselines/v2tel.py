"""V2TEL: a review image against product texts through two towers (Sun et al. 2022; paper, section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ameli_llm.errors import AmeliError
from eval.baselines import _folder
from eval.baselines._folder import Trained
from eval.baselines._images import Images, no_images, require_choice, review_images
from eval.baselines._names import image_title, text_title
from eval.baselines._texts import EntityTexts, Text, entity_texts, has_text_tower, text_dimension
from eval.baselines._towers import DESCRIPTION, Form, Sizes, Towers
from eval.baselines.baseline import Floats, Progress, Scored, Task
from eval.baselines.material import Material
from eval.baselines.tasks import Fold

if TYPE_CHECKING:
    from eval.baselines._tower_training import TextPairs, TextSearch

NAME = "v2tel"


@dataclass(frozen=True)
class Settings:
    """How V2TEL is trained.

    ``text`` is what stands for a product: the paper says "entity text" (section 5.2) of entities that have a
    name and a description; the official code takes the description. ``form`` holds where image and text
    encoder are one model (CLIP): the paper's residual adapter on each side, or the official 0.2/0.8 mix;
    elsewhere each side is projected. ``images``: all images of a review count, by the greatest cosine, or the
    first only. ``hidden`` 0 is a quarter of the vector for adapters, 256 for projections, which lead to
    ``common`` numbers.
    """

    text: Text = "title+description"
    form: Literal["paper", "official"] = "paper"
    images: Images = "all"
    epochs: int = 60
    learning_rate: float = 1e-3
    batch_size: int = 256
    temperature: float = 0.07
    hidden: int = 0
    common: int = 128
    patience: int = 10


class V2TEL:
    """Cosines of review images and product texts; no opinion on a review or a product that lacks them."""

    def __init__(self, material: Material, towers: Towers, texts: EntityTexts, images: Images) -> None:
        self._material = material
        self._towers = towers
        self._images = images
        self._row = texts.row
        self._texts = towers.text(texts.vectors)

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """Cosines [K] for each task, exactly equal for equal texts."""
        found = review_images(self._material, [task.review for task in tasks], self._images, progress)
        return [self._scored(task, vectors) for task, vectors in zip(tasks, found, strict=True)]

    def _scored(self, task: Task, vectors: Floats) -> Scored:
        scores = np.full(len(task.candidates), np.nan, dtype=np.float32)
        rows = np.array([self._row.get(entity, -1) for entity in task.entity_ids], dtype=np.int64)
        if len(vectors) and (rows >= 0).any():
            different, column = np.unique(rows[rows >= 0], return_inverse=True)
            best = (self._towers.image(vectors) @ self._texts[different].T).max(axis=0)
            scores[rows >= 0] = best[column]
        return Scored(total=scores, text=scores)

    def describe(self) -> Mapping[str, Any]:
        """Encoders, towers and training."""
        training = self._towers.training
        return {
            "title": title(self._material),
            "encoders": dict(self._towers.encoders),
            "towers": self._towers.form,
            "text": training["made_of"]["settings"]["text"],
            "images": self._images,
            "weights": training["weights"],
            "training": dict(training["made_of"]),
        }


def title(material: Material) -> str:
    """Name of the row, with the encoders that it was really run with."""
    image = image_title(_folder.require_image_encoder(material))
    if has_text_tower(material):
        return f"V2TEL ({image})"
    return f"V2TEL ({image}, {text_title(material.index.manifest.text)})"


def create(material: Material, folder: Path | None, variant: str = "", seed: int = 0) -> V2TEL:
    """The baseline with the weights that ``train`` wrote to ``folder``.

    Raises AmeliError when they are missing, damaged, of another size or of another encoder.
    """
    _folder.refuse_variant(NAME, variant)
    stamps = _stamps(material)
    towers = _load(_folder.require_folder(NAME, folder))
    sizes = material.image_dimension, text_dimension(material)
    if (towers.sizes.image, towers.sizes.text) != sizes:
        raise AmeliError(
            f"The towers take image vectors of {towers.sizes.image} numbers and text vectors of "
            f"{towers.sizes.text}, the index has {sizes[0]} and {sizes[1]}.",
            hint=_folder.how_to_train(NAME),
        )
    if towers.encoders != stamps:
        raise AmeliError(
            f"The towers were trained on vectors of {_listed(towers.encoders)}, "
            f"the index has those of {_listed(stamps)}.",
            hint=_folder.how_to_train(NAME),
        )
    settings = towers.training["made_of"]["settings"]
    return V2TEL(material, towers, entity_texts(material, settings["text"]), settings["images"])


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
    """Trains the towers on ``train`` and saves to ``out``; Recall@1 over all products on ``dev`` chooses.

    A training that was killed goes on, a finished one is left as it is. Raises AmeliError when ``out`` holds
    the weights of another training, or the folds have too few images or texts.
    """
    settings = settings or Settings()
    require_choice("text", settings.text, Text)
    require_choice("form", settings.form, Literal["paper", "official"])
    require_choice("images", settings.images, Images)
    stamps = _stamps(material)
    made_of = _folder.made_of(material, train, dev, asdict(settings), stamps, seed)
    if (out / DESCRIPTION).is_file():
        found = _load(out)
        _folder.require_same(out, found.training["made_of"], made_of)
        return _folder.summary(title(material), out, found.training, already=True)
    from ameli_llm.training.checkpoint import discard
    from ameli_llm.training.loop import LoopSettings
    from eval.baselines._tower_training import train_towers

    texts = entity_texts(material, settings.text, progress)
    pairs = _pairs(material, train, texts, settings.images, progress)
    search = _search(material, dev, texts, settings.images, progress)
    form: Form = settings.form if has_text_tower(material) else "projection"
    sizes = _sizes(form, settings, material.image_dimension, text_dimension(material))
    weights, history = train_towers(
        form,
        sizes,
        texts.vectors,
        pairs,
        search,
        LoopSettings(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            patience=settings.patience,
            seed=seed,
        ),
        settings.temperature,
        identity=_folder.identity(made_of),
        checkpoints=out / _folder.CHECKPOINTS,
        progress=progress,
    )
    training = _folder.record(NAME, made_of, len(pairs.text), len(search.gold), history)
    Towers(form, sizes, weights, stamps, training).save(out)
    discard(out / _folder.CHECKPOINTS)
    return _folder.summary(title(material), out, training, already=False)


def _sizes(form: Form, settings: Settings, image: int, text: int) -> Sizes:
    if form == "projection":
        return Sizes(image, text, settings.hidden or 256, settings.common)
    return Sizes(image, text, settings.hidden or max(1, image // 4), image)


def _pairs(
    material: Material, fold: Fold, texts: EntityTexts, images: Images, progress: Progress | None
) -> TextPairs:
    """A pair for each review image whose product has a text."""
    from eval.baselines._tower_training import TextPairs

    shown = [np.zeros((0, material.image_dimension), dtype=np.float32)]
    rows: list[int] = []
    found = review_images(material, fold.reviews, images, progress)
    for review, vectors in zip(fold.reviews, found, strict=True):
        row = texts.row.get(fold.gold[review.id])
        if row is not None:
            shown.append(vectors)
            rows += [row] * len(vectors)
    return TextPairs(np.concatenate(shown), np.array(rows, dtype=np.int64))


def _search(
    material: Material, fold: Fold, texts: EntityTexts, images: Images, progress: Progress | None
) -> TextSearch:
    """The reviews with a usable image whose product has a text. Raises AmeliError when there is none."""
    from eval.baselines._tower_training import TextSearch

    found = review_images(material, fold.reviews, images, progress)
    rows = [texts.row.get(fold.gold[review.id]) for review in fold.reviews]
    usable = [
        (row, vectors) for row, vectors in zip(rows, found, strict=True) if row is not None and len(vectors)
    ]
    if not usable:
        raise no_images(fold)
    return TextSearch(
        images=np.concatenate([vectors for _, vectors in usable]),
        review_row=np.repeat(np.arange(len(usable)), [len(vectors) for _, vectors in usable]),
        gold=np.array([row for row, _ in usable], dtype=np.int64),
        counts=np.bincount(list(texts.row.values()), minlength=len(texts.vectors)),
    )


def _stamps(material: Material) -> dict[str, str]:
    """The encoders whose vectors the towers take, with their revisions."""
    image = str(_folder.require_image_encoder(material))
    return {"image": image, "text": image if has_text_tower(material) else str(material.index.manifest.text)}


def _listed(stamps: Mapping[str, str]) -> str:
    return " and ".join(dict.fromkeys(stamps.values()))


def _load(folder: Path) -> Towers:
    towers = Towers.load(folder)
    if towers.training.get("baseline") != NAME:
        raise AmeliError(f"{folder} holds towers, but no V2TEL.", hint=_folder.how_to_train(NAME))
    return towers

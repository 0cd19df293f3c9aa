"""V2TEL: a review image against product texts through two towers (Sun et al. 2022; paper, section 5.2).

With CLIP both sides are its own, each with an adapter. Other image encoders have no text side: then the
index's text encoder makes the text vectors and both sides are projected into a common space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.types import Progress
from eval.baselines import _folder
from eval.baselines._folder import Trained
from eval.baselines._images import (
    require_choice,
    require_images,
    task_images,
)
from eval.baselines._names import image_title, text_title
from eval.baselines._settings import (
    AdapterForm,
    BatchSize,
    CountedImages,
    Epochs,
    GoldImage,
    LearningRate,
    Temperature,
)
from eval.baselines._text_pairs import Loss, text_pairs, text_search
from eval.baselines._texts import EntityTexts, Text, entity_texts, has_text_tower, text_dimension
from eval.baselines._towers import DESCRIPTION, Form, Sizes, Towers
from eval.baselines.baseline import Floats, Preset, Scored, TableRow, Task
from eval.baselines.material import Material
from eval.baselines.options import Option, changed

NAME = "v2tel"


@dataclass(frozen=True)
class Settings:
    """How V2TEL is trained. Raises AmeliError for values that are not possible.

    ``text`` is what stands for a product: the paper says "entity text" (section 5.2) of entities that have a
    name and a description; the official code takes the description. ``form`` holds where image and text
    encoder are one model (CLIP): the paper's residual adapter on each side, or the official 0.2/0.8 mix;
    elsewhere each side is projected. ``images``: all images of a review count, by the greatest cosine, the
    first only, or one that is selected before the towers, by the images of the review's candidates or, with
    ``gold_image`` and on train and dev only, by those of its gold product (both official; the latter is a
    leak). ``loss``: cross-entropy over the texts of a batch; over those and its reviews' candidates (official
    A_V2TEL_contrast); or over the review's own K candidates, gold put in (official A_V2TEL), where the epoch
    is chosen by the F1 over the lists of dev as retrieval found them.
    ``hidden`` 0 is a quarter of the vector for adapters, 256 for projections, which lead to ``common``
    numbers.
    """

    text: Annotated[Text, Option("What stands for a product; officially the description.")] = (
        "title+description"
    )
    form: AdapterForm = "paper"
    images: CountedImages = "all"
    gold_image: GoldImage = False
    loss: Annotated[
        Loss,
        Option(
            "V2TEL tells a product's text from those of the batch, also from those of its reviews' "
            "candidates, or only from those of the review's own."
        ),
    ] = "batch"
    epochs: Epochs = 60
    learning_rate: LearningRate = 1e-3
    batch_size: BatchSize = 256
    temperature: Temperature = 0.07
    hidden: int = 0
    common: int = 128
    patience: int = 10

    def __post_init__(self) -> None:
        require_choice("text", self.text, Text)
        require_choice("form", self.form, Literal["paper", "official"])
        require_images(self.images, self.gold_image)
        require_choice("loss", self.loss, Loss)

    @property
    def needs_candidates(self) -> bool:
        """Whether training looks at the candidates of its reviews."""
        return self.loss != "batch" or (self.images == "selected" and not self.gold_image)


PRESETS: Mapping[Preset, Settings] = MappingProxyType(
    {
        "paper": Settings(),
        "official": Settings(
            text="description",
            form="official",
            images="selected",
            gold_image=True,
            loss="batch+candidates",
            temperature=1.0,
        ),
    }
)
"""The paper leaves most open; official is what the released code does (class V2TEL)."""


class V2TEL:
    """Cosines of review images and product texts; no opinion on a review or a product that lacks them."""

    def __init__(self, material: Material, towers: Towers, texts: EntityTexts, settings: Settings) -> None:
        self._material = material
        self._towers = towers
        self._settings = settings
        self._rows = texts.rows
        self._texts = towers.text(texts.vectors)

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """Cosines [K] for each task, exactly equal for equal texts."""
        found = task_images(self._material, tasks, self._settings.images, progress)
        return [self._scored(task, vectors) for task, vectors in zip(tasks, found, strict=True)]

    def _scored(self, task: Task, vectors: Floats) -> Scored:
        scores = np.full(len(task.candidates), np.nan, dtype=np.float32)
        rows = np.array(self._rows(task.entity_ids), dtype=np.int64)
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
            "text": self._settings.text,
            "images": self._settings.images,
            "leaks": _folder.leaks(self._settings.gold_image),
            "weights": training["weights"],
            "training": dict(training["made_of"]),
        }

    def title(self, name: str) -> str:
        """The name with the encoders."""
        return f"{name} ({encoders(self._material)})"


def rows() -> tuple[TableRow, ...]:
    """Its row of the paper's table."""
    return (TableRow(NAME, needs_images=True),)


def configured(preset: Preset, epochs: int | None) -> Settings:
    """The settings of the preset, with so many epochs at most (None: the preset's)."""
    return changed(PRESETS[preset], {"epochs": epochs})


def encoders(material: Material) -> str:
    """Short names of the encoders of images and texts. Raises AmeliError in an index without images."""
    image = image_title(material.require_images())
    return image if has_text_tower(material) else f"{image}, {text_title(material.index.manifest.text)}"


def title(material: Material) -> str:
    """Its name with the encoders that it is trained on."""
    return f"V2TEL ({encoders(material)})"


def create(material: Material, folder: Path | None) -> V2TEL:
    """The baseline with the weights that ``train`` wrote to ``folder``.

    Raises AmeliError when they are missing, damaged, of another size or of another encoder.
    """
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
    settings = Settings(**towers.training["made_of"]["settings"])
    return V2TEL(material, towers, entity_texts(material, settings.text), settings)


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
    """Trains the towers on ``train`` and saves to ``out``; the best epoch on ``dev`` is kept.

    That is by Recall@1 over all products, or by F1 where the loss is over candidates. The folds' candidates
    are needed where ``settings.needs_candidates``. A training that was killed goes on, a finished one is left
    as it is. Raises AmeliError when ``out`` holds the weights of another training, or the folds have too few
    images or texts, or no candidates.
    """
    settings = settings or Settings()
    stamps, lists = _stamps(material), settings.needs_candidates
    made_of = _folder.made_of(material, train, dev, asdict(settings), stamps, seed, lists)
    done = _folder.finished(title(material), out, DESCRIPTION, lambda folder: _load(folder).training, made_of)
    if done:
        return done
    from ameli_llm.training.checkpoint import discard
    from ameli_llm.training.loop import LoopSettings
    from eval.baselines._tower_training import train_towers

    texts = entity_texts(material, settings.text, progress)
    seen = settings.loss, settings.images, settings.gold_image
    pairs = text_pairs(material, train, texts, *seen, progress)
    search = text_search(material, dev, texts, *seen, progress)
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
    measure = "R@1" if settings.loss == "batch" else "F1"
    training = _folder.record(NAME, made_of, len(pairs.text), len(search.gold), history, measure)
    Towers(form, sizes, weights, stamps, training).save(out)
    discard(out / _folder.CHECKPOINTS)
    return _folder.summary(title(material), out, training, already=False)


def _sizes(form: Form, settings: Settings, image: int, text: int) -> Sizes:
    if form == "projection":
        return Sizes(image, text, settings.hidden or 256, settings.common)
    return Sizes(image, text, settings.hidden or max(1, image // 4), image)


def _stamps(material: Material) -> dict[str, str]:
    """The encoders whose vectors the towers take, with their revisions."""
    image = str(material.require_images())
    return {"image": image, "text": image if has_text_tower(material) else str(material.index.manifest.text)}


def _listed(stamps: Mapping[str, str]) -> str:
    return " and ".join(dict.fromkeys(stamps.values()))


def _load(folder: Path) -> Towers:
    towers = Towers.load(folder)
    if towers.training.get("baseline") != NAME:
        raise AmeliError(f"{folder} holds towers, but no V2TEL.", hint=_folder.how_to_train(NAME))
    return towers

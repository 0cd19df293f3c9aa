"""Fine-tunes a text encoder on reviews and their products by multiple negatives ranking.

The loss is sentence-transformers' own: the cosine of a review and its product, times 20, against those of all
other products of the batch and of a hard negative each. The paper's Table 4 fine-tunes the image side only;
this is how the official code fine-tunes the text side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId
from ameli_llm.types import Progress
from retrieval.encoders.sbert import SBERT, quiet_loading
from retrieval.search import search

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from retrieval.index import Index
    from retrieval.manifest import EncoderStamp


DESCRIPTION = "training.json"
CHECKPOINTS = "checkpoints"
SCALE = 20.0
"""Factor of the cosines in the loss: the official code's, and sentence-transformers' default."""
SCORED = 10
"""Early stopping looks at Recall@1 and at recall at this cutoff, in equal parts."""


@dataclass(frozen=True)
class Triplets:
    """Texts of reviews, each with that of its product and that of one which is easily mistaken for it."""

    query: Sequence[str]
    positive: Sequence[str]
    negative: Sequence[str]

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True)
class TextSearch:
    """Texts of reviews, searched among the ``texts`` of all products; ``gold`` are rows of ``texts``."""

    query: Sequence[str]
    gold: Sequence[int]
    texts: Sequence[str]


@dataclass(frozen=True)
class FineTuning:
    """How a text encoder is fine-tuned; the official code's values in brackets.

    ``epochs`` [10], ``batch_size`` [35], ``learning_rate`` [1e-5], ``warm_up``: share of the steps in which
    it rises, before it falls to 0 [1000 steps, 0.26 of those of AMELI's train split], ``weight_decay``
    [1e-3], ``window``: texts are cut at so many tokens [512], 0 is the model's own window. ``hard`` [10]: the
    hard negative is one of so many best retrieved products. ``patience`` is how many epochs without a better
    score on dev are waited for.
    """

    epochs: int = 3
    batch_size: int = 35
    learning_rate: float = 2e-5
    warm_up: float = 0.1
    weight_decay: float = 1e-3
    window: int = 0
    hard: int = 10
    patience: int = 2


@dataclass(frozen=True)
class Identity:
    """What decides the weights: the encoder that is fine-tuned, settings, seed, and digests of the data."""

    encoder: EncoderStamp
    settings: FineTuning
    seed: int
    source: Mapping[str, Any]

    def content(self) -> dict[str, Any]:
        """In JSON types; a folder's name decides nothing, so the encoder counts by its revision."""
        return {
            "revision": self.encoder.revision,
            "settings": asdict(self.settings),
            "seed": self.seed,
            "source": dict(self.source),
        }


class Epoch(BaseModel):
    """Mean loss during an epoch and ``recall`` on dev after it. Epoch 0 is untrained and has no loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    loss: float | None
    score: float


class Description(BaseModel):
    """``training.json``, beside the weights: what was trained, on what, and how it went."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    revision: str
    settings: dict[str, Any]
    seed: int
    source: dict[str, Any]
    best: int
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model; not ``fresh`` when it was there before."""

    description: Description
    fresh: bool

    def summary(self) -> str:
        """One line: data, epochs, and recall on dev before and after."""
        about, history = self.description, self.description.history
        best = next(epoch for epoch in history if epoch.number == about.best)
        source = about.source
        kept = f"epoch {about.best}" if about.best else "none, as it was not better on dev,"
        return (
            f"{about.model} on {source['reviews']} reviews of {source['split']}, {kept} of "
            f"{history[-1].number} epochs: mean of R@1 and R@{SCORED} {100 * history[0].score:.2f} -> "
            f"{100 * best.score:.2f} on {source['dev_reviews']} reviews of {source['dev']}"
        )


def is_fine_tuned(model: str) -> bool:
    """Whether the text model of that name is a folder that ``fine_tune`` made."""
    return bool(model) and (Path(model) / DESCRIPTION).is_file()


def hard_negatives(
    index: Index, queries: Sequence[str], gold: Sequence[EntityId], best: int, seed: int
) -> list[str]:
    """The text of a wrong product for each query: one of the ``best`` nearest under the index's encoder.

    ``gold`` are product ids. Drawn by ``seed``. Raises AmeliError when there is no second product.
    """
    if len(index) < 2:
        raise AmeliError(f"{len(index)} product is too few to contrast.", hint="Training needs two or more.")
    rows, _ = search(index.text_vectors, index.text_encoder.encode(queries), best + 1)
    draw = np.random.default_rng(seed)
    texts = []
    for found, right in zip(rows, gold, strict=True):
        wrong = found[found != index.rows[right]][:best]
        texts.append(index.entries[int(draw.choice(wrong))].text)
    return texts


def finished(out: Path, identity: Identity) -> FineTuned | None:
    """The model in ``out``, None when there is none yet.

    Raises AmeliError when it was trained on something else or otherwise, or when its description is damaged.
    """
    path = out / DESCRIPTION
    if not path.is_file():
        return None
    try:
        found = Description.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise AmeliError(f"{path} cannot be read.", hint="Delete the folder to train again.") from error
    asked, made = _flat(identity.content()), _flat(found.model_dump())
    other = sorted(key for key in asked if made.get(key) != asked[key])
    if other:
        raise AmeliError(
            f"{out} holds a model that was trained otherwise: {', '.join(other)}.",
            hint="Name another --out, or delete it.",
        )
    return FineTuned(found, fresh=False)


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def fine_tune(
    triplets: Triplets, dev: TextSearch, identity: Identity, out: Path, progress: Progress | None = None
) -> FineTuned:
    """Trains the encoder that ``identity`` names and saves the best epoch by ``recall`` on dev in ``out``.

    An interrupted training goes on where it was, and ends with the same weights as an uninterrupted one. The
    folder is a sentence-transformers model with a ``Description`` beside it. Raises AmeliError when there is
    nothing to train on, the window is too wide for the model, training diverges, or ``out`` cannot be
    written or holds the checkpoint of another training.
    """
    from ameli_llm.training.checkpoint import discard
    from ameli_llm.training.loop import LoopSettings, best_epoch, train

    settings = identity.settings
    if identity.encoder.name != SBERT.name:
        raise AmeliError(
            f"The text encoder {identity.encoder.name!r} cannot be fine-tuned, only 'sbert' can."
        )
    encoder = SBERT(identity.encoder.model)
    transformer = encoder.transformer
    _set_window(transformer, settings.window)
    text = json.dumps(identity.content(), sort_keys=True)
    history = train(
        transformer,
        len(triplets),
        lambda rows: ranking_loss(transformer, triplets, rows.tolist()),
        lambda: recall(encoder, dev),
        LoopSettings(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            warmup=settings.warm_up,
            patience=settings.patience,
            seed=identity.seed,
        ),
        checkpoints=out / CHECKPOINTS,
        identity=hashlib.sha256(text.encode()).hexdigest(),
        progress=progress,
    )
    description = Description(
        model=identity.encoder.model,
        **identity.content(),
        best=best_epoch(history).number,
        history=tuple(Epoch(number=e.number, loss=e.loss, score=e.score or 0.0) for e in history),
    )
    _save(transformer, description, out)
    discard(out / CHECKPOINTS)
    return FineTuned(description, fresh=True)


def _set_window(transformer: SentenceTransformer, window: int) -> None:
    if not window:
        return
    config = getattr(transformer.transformers_model, "config", None)
    most = getattr(config, "max_position_embeddings", window)
    if window > most:
        raise AmeliError(
            f"A window of {window} tokens is too wide: the model takes {most}.",
            hint="Give a smaller --window.",
        )
    transformer.max_seq_length = window


def _save(transformer: SentenceTransformer, description: Description, out: Path) -> None:
    """Writes the model, and last its description, without which it does not count as finished."""
    from safetensors import SafetensorError

    try:
        with quiet_loading():
            transformer.save(str(out), create_model_card=False)
        (out / DESCRIPTION).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise AmeliError(
            f"Cannot write to {out}: {getattr(error, 'strerror', None) or error}.",
            hint="Type the same command again: the training is kept.",
        ) from error


def recall(encoder: SBERT, dev: TextSearch) -> float:
    """Mean of Recall@1 and Recall@10, 0 to 1; of equal cosines the lower row comes first."""
    products = encoder.encode(dev.texts)
    rows, _ = search(products, encoder.encode(dev.query), SCORED)
    right = rows == np.asarray(dev.gold)[:, None]
    return float((right[:, 0].mean() + right.any(axis=1).mean()) / 2)


def ranking_loss(transformer: SentenceTransformer, triplets: Triplets, rows: Sequence[int]) -> torch.Tensor:
    """Multiple negatives ranking over a batch: -log softmax of 20 x cosine, at the review's own product.

    Over the products and the hard negatives of the whole batch; its own product in another place is none.
    """
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.util import cos_sim

    positives = [triplets.positive[row] for row in rows]
    columns = [[triplets.query[row] for row in rows], positives, [triplets.negative[row] for row in rows]]
    same = torch.from_numpy(_same(positives, [*positives, *columns[2]])).to(transformer.device)

    def similarity(queries: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        return cos_sim(queries, texts).masked_fill(same, -torch.inf)

    ranking = MultipleNegativesRankingLoss(transformer, scale=SCALE, similarity_fct=similarity)
    features = [
        {
            name: value.to(transformer.device) if isinstance(value, torch.Tensor) else value
            for name, value in transformer.preprocess(column).items()
        }
        for column in columns
    ]
    loss: torch.Tensor = ranking(features, torch.zeros(len(rows)))
    return loss


def _same(positives: Sequence[str], texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """[n, 2n]: texts that equal the row's own product without being it. They are no negatives."""
    same = np.array([[text == positive for text in texts] for positive in positives])
    np.fill_diagonal(same, False)
    return same

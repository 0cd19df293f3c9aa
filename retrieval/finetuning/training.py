"""Fine-tunes a text encoder on reviews and their products by multiple negatives ranking.

The loss is sentence-transformers' own: the cosine of a review and its product, times 20, against those of all
other products of the batch and of a hard negative each. The paper's Table 4 fine-tunes the image side only;
this is how the official code fine-tunes the text side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId
from ameli_llm.models.quiet import quiet_loading
from ameli_llm.types import Progress
from retrieval.encoders.encoder import TextEncoder
from retrieval.encoders.sbert import SBERT
from retrieval.finetuning.description import (
    DESCRIPTION,
    SCORED,
    Description,
    Epoch,
    FineTuned,
    Identity,
)
from retrieval.search import search

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from retrieval.index import Index

CHECKPOINTS = "checkpoints"
SCALE = 20.0
"""Factor of the cosines in the loss: the official code's, and sentence-transformers' default."""


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


def recall(encoder: TextEncoder, dev: TextSearch) -> float:
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

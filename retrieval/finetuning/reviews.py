"""Fine-tunes the text encoder of an index on a dataset's reviews and their products."""

from __future__ import annotations

from pathlib import Path

from ameli_llm.dataset.folds import Fold
from ameli_llm.dataset.load import Dataset
from ameli_llm.types import Progress
from retrieval.finetuning.description import FineTuned, FineTuning, Identity, finished
from retrieval.finetuning.training import TextSearch, Triplets, fine_tune, hard_negatives
from retrieval.index import Index
from retrieval.texts import query_text


def fine_tune_sbert(
    data: Dataset,
    train: Fold,
    dev: Fold,
    index: Index,
    out: Path,
    settings: FineTuning,
    seed: int,
    progress: Progress,
) -> FineTuned:
    """The text encoder of ``index``, fine-tuned into ``out``; nothing is done where that is finished.

    Raises AmeliError when ``out`` holds a model that was trained on something else or otherwise.
    """
    source = {
        "dataset": data.digest,
        "split": train.name,
        "split_digest": data.split(train.name).digest,
        "reviews": len(train.reviews),
        "dev": dev.name,
        "dev_digest": data.split(dev.name).digest,
        "dev_reviews": len(dev.reviews),
    }
    identity = Identity(index.manifest.text, settings, seed, source)
    if done := finished(out, identity):
        return done
    texts = [entry.text for entry in index.entries]
    queries = [query_text(review) for review in train.reviews]
    gold = [train.gold[review.id] for review in train.reviews]
    triplets = Triplets(
        query=queries,
        positive=[texts[index.rows[product]] for product in gold],
        negative=hard_negatives(index, queries, gold, settings.hard, seed),
    )
    search = TextSearch(
        query=[query_text(review) for review in dev.reviews],
        gold=[index.rows[dev.gold[review.id]] for review in dev.reviews],
        texts=texts,
    )
    return fine_tune(
        triplets, search, identity, out, lambda _, done, total: progress("fine-tuning steps", done, total)
    )

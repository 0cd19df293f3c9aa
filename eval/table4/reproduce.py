"""What ``ameli-llm reproduce table4`` does: trains what is missing, ranks a split by every row, measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ameli_llm.config import RunConfig
from ameli_llm.dataset.folds import Fold, folds
from ameli_llm.dataset.load import Dataset, Split, load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.pipeline import open_or_build_index
from ameli_llm.types import Progress
from eval.measures.recall import CUTOFFS
from eval.published import published
from eval.table4.methods import Pair
from eval.table4.models import train_missing
from eval.table4.ranking import Rows, Table4, batches
from eval.table4.ratios import choose_ratios
from eval.table4.rows import measured
from eval.table4.view import table
from eval.tables import Table
from retrieval.finetuning.description import is_fine_tuned
from retrieval.retrievers.retriever import Query, make_queries


def table4(
    dataset: Path,
    split: str,
    train_split: str,
    out: Path,
    config: RunConfig,
    index: Path | None,
    epochs: int | None,
    seed: int,
    limit: int | None,
    progress: Progress,
) -> Table:
    """Recall of every row over the reviews of ``split`` whose product is in the KB, beside the paper's.

    What is not in ``out``/models yet is trained there on ``train_split``. The share of the text in each sum
    is chosen on the dev split, or on products kept out of training where there is none. Raises AmeliError
    when the reported split is one of those, or when ``out`` holds models of other settings.
    """
    data = load_dataset(dataset)
    reported = _reported(data, split, limit)
    train, choose = folds(data, train_split, seed)
    for fold, use in ((train, "trained on"), (choose, "what the weights are chosen on")):
        if fold.name == reported.name:
            raise AmeliError(
                f"{reported.name} is reported and {use}.", hint="Name other splits: --split, --train-split."
            )
    with open_or_build_index(data, config, index, progress) as opened:
        if is_fine_tuned(opened.manifest.text.model):
            raise AmeliError(
                f"The text model {opened.manifest.text.model} is fine-tuned; the table has pre-trained rows.",
                hint="Set retrieval.text_model to the model that it was made from.",
            )
        trained = train_missing(data, train, choose, opened, config, out / "models", epochs, seed, progress)
        retrieval = config.retrieval.model_copy(update={"image_adapter": trained.adapter})
        paper = Table4(opened, retrieval, trained.text_model, progress, trained.untrained)
        choices = choose_ratios(paper, make_queries(choose.reviews, data.review_image), choose.gold, progress)
        ratios = {pair: choice.ratio for pair, choice in choices.items()}
        queries = make_queries(reported.reviews, data.review_image)
        found = _rank(paper, queries, ratios, progress)
        notes = [
            *_split_notes(reported, train, choose),
            f"text encoder: {opened.manifest.text}; image encoder: {opened.manifest.image() or 'none'}",
            *trained.notes,
            *(
                f"weights of {text} + {image}, chosen on {choose.name}: {c.ratio:.1f} and {1 - c.ratio:.1f}"
                for (text, image), c in choices.items()
            ),
        ]
        made = {
            "dataset": data.digest,
            "split": {"name": reported.name, "digest": reported.digest, "limit": limit},
            "train_split": train.name,
            "chosen_on": {"split": choose.name, "reviews": len(choose.reviews)},
            "seed": seed,
            "config": retrieval.model_dump(mode="json"),
            "index": {"text": str(opened.manifest.text), "image": str(opened.manifest.image() or "none")},
            "weights": [{"text": t, "image": i, **asdict(c)} for (t, i), c in choices.items()],
        }
        answers = (reported.gold[review.id] for review in reported.reviews)
        gold = [product for product in answers if product is not None]
        rows = measured(paper, found, gold, published("table4"))
    return table(rows, reported.name, made, notes)


def _reported(data: Dataset, split: str, limit: int | None) -> Split:
    """The split with the reviews, among its first ``limit``, whose product is in the KB."""
    whole = data.split(split)
    kept = tuple(review for review in whole.reviews[:limit] if whole.gold.get(review.id) is not None)
    if not kept:
        raise AmeliError(f"No review of {whole.name} has its product in the knowledge base.")
    return replace(whole, reviews=kept)


def _split_notes(reported: Split, train: Fold, choose: Fold) -> list[str]:
    """What was reported, trained on and chosen on, and which gold products they share."""
    notes = [
        f"trained on {len(train.reviews)} reviews of {train.name}; epochs and weights chosen on "
        f"{len(choose.reviews)} of {choose.name}"
    ]
    seen = set(train.gold.values()) | set(choose.gold.values())
    shared = sum(reported.gold[review.id] in seen for review in reported.reviews)
    if shared:
        notes.append(f"{shared} reviews of {reported.name} have a gold product that training saw")
    return notes


def _rank(
    paper: Table4, queries: Sequence[Query], ratios: Mapping[Pair, float], progress: Progress
) -> dict[str, Rows]:
    """Rows of the index [n, depth] by method, in the order of ``queries``."""
    parts: dict[str, list[Rows]] = {}
    for done, batch in batches(queries):
        for name, rows in paper.rankings(batch, max(CUTOFFS), ratios).items():
            parts.setdefault(name, []).append(rows)
        progress("retrieval", done, len(queries))
    return {name: np.concatenate(rankings) for name, rankings in parts.items()}

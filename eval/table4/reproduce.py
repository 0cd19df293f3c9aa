"""What ``ameli-llm reproduce table4`` does: trains what is missing, ranks a split by every row, measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RunConfig
from ameli_llm.dataset.folds import Fold, folds
from ameli_llm.dataset.load import Dataset, Split, load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.pipeline import open_or_build_index
from ameli_llm.types import Progress
from eval.measures.recall import CUTOFFS
from eval.measures.statistics import ClusteredBootstrap, Difference, Interval, exact_mcnemar, false_discovery
from eval.published import published
from eval.table4.methods import RATIOS, Ids, Pair, Table4
from eval.table4.models import train_missing
from eval.tables import Table
from retrieval.finetuning.training import is_fine_tuned
from retrieval.retrievers.retriever import Query, make_queries

BATCH = 64
REFERENCE = "tuned_clip_sbert_prior"
"""Key of the row that every other one is tested against: the paper's last, its retrieval for Table 5."""
TESTED = 10
"""The paired test is on recall at this cutoff: the candidates of Table 5."""


@dataclass(frozen=True)
class Choice:
    """The share of the text in a sum, with its recall on the reviews it was chosen on."""

    ratio: float
    recall_10: float
    recall_1: float


@dataclass(frozen=True)
class Test:
    """A row against the reference on Recall@10: exact p, p corrected, difference with its interval."""

    p: float
    corrected: float
    difference: Difference


@dataclass(frozen=True)
class Row:
    """A row of the table; ``recall`` is empty and ``missing`` says why where it could not be run."""

    key: str
    method: str
    modality: str
    n: int
    recall: Mapping[int, Interval]
    published: Mapping[str, float]
    second_hand: Mapping[str, float]
    source: Mapping[str, Any] | None
    seconds: float | None
    test: Test | None
    missing: str

    def cells(self, cutoffs: Sequence[int]) -> tuple[str, ...]:
        """The row as text; "-" for what there is not."""
        recall = [
            cell
            for k in cutoffs
            for cell in (self.recall[k].percent() if k in self.recall else "-", self._paper(f"recall_{k}"))
        ]
        return (
            *(self.method, self.modality, *recall, str(self.n)),
            "-" if self.seconds is None else f"{self.seconds:.1f}",
            "-" if self.test is None else f"{self.test.p:.2g}",
            "-" if self.test is None else f"{self.test.corrected:.2g}",
        )

    def _paper(self, measure: str) -> str:
        if measure in self.published:
            return f"{self.published[measure]:.2f}"
        return f"({self.second_hand[measure]:.2f})" if measure in self.second_hand else "-"


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
    opened = open_or_build_index(data, config, index, progress)
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
        f"text encoder: {opened.manifest.text}; image encoder: {opened.manifest.image or 'none'}",
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
        "index": {"text": str(opened.manifest.text), "image": str(opened.manifest.image or "none")},
        "weights": [{"text": t, "image": i, **asdict(c)} for (t, i), c in choices.items()],
    }
    return _table(paper, found, reported, made, notes)


def choose_ratios(
    paper: Table4, queries: Sequence[Query], gold: Mapping[ReviewId, EntityId], progress: Progress
) -> dict[Pair, Choice]:
    """The best share of the text for each fused pair, before the prior's filter (official code).

    By Recall@10 over these reviews, then Recall@1, then the nearer to one half, then the smaller.
    """

    hits: dict[Pair, Ids] = {}
    for start, batch in _batches(queries):
        right = np.array([gold[query.review.id] for query in batch])[:, None]
        for pair, rankings in paper.mixtures(batch, TESTED).items():
            found = [((ids == right).sum(), (ids[:, :1] == right).sum()) for ids in rankings]
            hits[pair] = hits.get(pair, np.zeros((len(RATIOS), 2), np.int64)) + np.array(found, np.int64)
        progress("weights", min(start + BATCH, len(queries)), len(queries))
    chosen = {}
    for pair, counts in hits.items():
        ranks = [(*count, -abs(2 * i + 1 - len(RATIOS)), -i) for i, count in enumerate(counts.tolist())]
        best = ranks.index(max(ranks))
        ten, one, *_ = ranks[best]
        chosen[pair] = Choice(RATIOS[best], ten / len(queries), one / len(queries))
    return chosen


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
) -> dict[str, Ids]:
    """Product ids [n, depth] by method, in the order of ``queries``."""

    parts: dict[str, list[Ids]] = {}
    for start, batch in _batches(queries):
        for name, ids in paper.rankings(batch, max(CUTOFFS), ratios).items():
            parts.setdefault(name, []).append(ids)
        progress("retrieval", min(start + BATCH, len(queries)), len(queries))
    return {name: np.concatenate(rankings) for name, rankings in parts.items()}


def _batches(queries: Sequence[Query]) -> Iterator[tuple[int, Sequence[Query]]]:
    for start in range(0, len(queries), BATCH):
        yield start, queries[start : start + BATCH]


def _table(
    paper: Table4,
    found: Mapping[str, Ids],
    reported: Split,
    made: Mapping[str, Any],
    notes: Sequence[str],
) -> Table:

    gold = [reported.gold[review.id] for review in reported.reviews]
    hits = {
        method.key: {k: (found[method.name][:, :k] == np.array(gold)[:, None]).any(axis=1) for k in CUTOFFS}
        for method in paper.methods
        if method.name in found
    }
    bootstrap = ClusteredBootstrap(gold)
    figures = published("table4")
    tests = _tests(hits, bootstrap)
    rows = [
        Row(
            key=method.key,
            method=method.name,
            modality=method.modality,
            n=len(gold),
            recall={k: bootstrap.ratio(right) for k, right in hits.get(method.key, {}).items()},
            published=figures.values(method.key),
            second_hand=figures.second_hand(method.key),
            source=figures.document(method.key),
            seconds=paper.seconds.get(method.name),
            test=tests.get(method.key),
            missing=method.missing,
        )
        for method in paper.methods
    ]
    names = {method.key: method.name for method in paper.methods}
    unrun = [f"{row.method}: not run, {row.missing}" for row in rows if row.missing]
    return Table(
        title="Candidate retrieval (Table 4)",
        caption=f"Recall@k in percent over the {len(gold)} reviews of {reported.name} whose product is in "
        "the knowledge base, with 95 % intervals (bootstrap over gold products); beside it the paper's, "
        "which are of its own data.",
        columns=(
            *("Method", "Modality"),
            *(name for k in CUTOFFS for name in (f"R@{k}", f"R@{k} paper")),
            *("n", "seconds", "p", "p corrected"),
        ),
        rows=tuple(row.cells(CUTOFFS) for row in rows),
        notes=(
            f"p: exact McNemar test on Recall@{TESTED} against {names[REFERENCE]}, the paper's last row; "
            "corrected for all rows tested (Benjamini and Hochberg)",
            "paper: arXiv v1, Table 4; in brackets what is known at second hand only",
            "seconds: encoding of the reviews, scoring and ranking; what several rows need counts for each",
            *notes,
            *unrun,
        ),
        data={**made, "n": len(gold), "reference": REFERENCE, "rows": rows},
    )


def _tests(
    hits: Mapping[str, Mapping[int, npt.NDArray[np.bool_]]], bootstrap: ClusteredBootstrap
) -> dict[str, Test]:
    """Each row against the reference; {} when that one was not run."""

    if REFERENCE not in hits:
        return {}
    reference = hits[REFERENCE][TESTED]
    others = {key: right[TESTED] for key, right in hits.items() if key != REFERENCE}
    p_values = [exact_mcnemar(reference, right) for right in others.values()]
    return {
        key: Test(p, corrected, bootstrap.difference((reference, None), (right, None)))
        for (key, right), p, corrected in zip(
            others.items(), p_values, false_discovery(p_values), strict=True
        )
    }

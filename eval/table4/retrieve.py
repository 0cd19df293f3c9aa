"""What ``ameli-llm retrieve`` does: candidates into files, recall of every method of Table 4."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.files import write_json, write_text
from ameli_llm.ids import EntityId, ReviewId, id_order
from ameli_llm.pipeline import open_or_build_index
from ameli_llm.types import Candidate, Progress, Review
from eval.measures.recall import CUTOFFS
from eval.measures.statistics import ClusteredBootstrap
from eval.table4.ranking import BATCH, NOBODY, Table4
from eval.trec import TAG, trec_id
from retrieval.candidates import CandidateFinder
from retrieval.ready import summary

CONFIGURED = "Configured sum"


@dataclass(frozen=True)
class RecallRow:
    """A row of the table: recall at each cutoff as (value, low, high), empty when something is missing."""

    method: str
    modality: str
    n: int
    recall: Mapping[str, tuple[float, float, float]]
    missing: str = ""

    def cells(self, cutoffs: Sequence[int]) -> list[str]:
        """Percentages with their 95 % intervals."""
        found = (self.recall.get(str(k)) for k in cutoffs)
        numbers = [f"{100 * r[0]:.2f} [{100 * r[1]:.2f}, {100 * r[2]:.2f}]" if r else "-" for r in found]
        return [self.method, self.modality, *numbers]


@dataclass(frozen=True)
class Found:
    """Ranked product ids by method and review; ``missing`` are the methods that could not be run."""

    rankings: Mapping[str, Mapping[ReviewId, Sequence[EntityId]]]
    modality: Mapping[str, str]
    missing: Mapping[str, str]
    cutoffs: tuple[int, ...]


@dataclass(frozen=True)
class Retrieved:
    """What was found for the ``reviews`` of a split among ``products``; ``report`` was written."""

    split: str
    reviews: int
    products: int
    cutoffs: tuple[int, ...]
    rows: tuple[RecallRow, ...]
    report: Mapping[str, Any]


def retrieve(
    data: Dataset, split: Split, config: RunConfig, index: Path | None, out: Path, progress: Progress
) -> Retrieved:
    """Candidates of the split's reviews and recall of every method; the files of ``retrieve`` in ``out``.

    Raises AmeliError when ``out`` cannot be written or the index cannot be opened.
    """
    with open_or_build_index(data, config, index, progress) as opened:
        finder = CandidateFinder(opened, data, config.retrieval)
        found = find_candidates(finder, split.reviews, out, progress)
        products, about = len(opened), summary(opened)
    write_qrels(out, split.gold)
    rows = tuple(recall_rows(found, split.gold))
    report = {
        "dataset": data.digest,
        "split": {"name": split.name, "digest": split.digest, "reviews": len(split.reviews)},
        "config": config.retrieval.model_dump(mode="json"),
        "index": about,
        "rows": [asdict(row) for row in rows],
    }
    write_json(out / "retrieval.json", report)
    return Retrieved(split.name, len(split.reviews), products, found.cutoffs, rows, report)


def find_candidates(
    finder: CandidateFinder, reviews: Sequence[Review], out: Path, progress: Progress
) -> Found:
    """Ranks by every method; writes candidates.jsonl and run.trec of the configured one."""
    paper = Table4(finder.index, finder.config)
    ids = finder.index.product_ids
    depth = max(CUTOFFS)
    kept = max(depth, finder.config.depth)
    missing = {method.name: method.missing for method in paper.methods if method.missing}
    modality = {method.name: method.modality for method in paper.methods} | {CONFIGURED: _modality(finder)}
    rankings: dict[str, dict[ReviewId, Sequence[EntityId]]] = {
        name: {} for name in modality if name not in missing
    }
    with _files(out) as (lines, trec):
        for start in range(0, len(reviews), BATCH):
            batch = reviews[start : start + BATCH]
            queries = finder.queries(batch)
            found = finder.rank(batch, finder.score_queries(queries), kept)
            for review, candidates in zip(batch, found, strict=True):
                lines.write(_line(review, candidates))
                trec.write(_trec(review, candidates))
                rankings[CONFIGURED][review.id] = [c.entity_id for c in candidates[:depth]]
            for name, rows in paper.rankings(queries, depth).items():
                for review, ranking in zip(batch, rows.tolist(), strict=True):
                    rankings[name][review.id] = [ids[row] for row in ranking if row != NOBODY]
            progress("retrieval", min(start + BATCH, len(reviews)), len(reviews))
    return Found(rankings, modality, missing, CUTOFFS)


def recall_rows(found: Found, gold: Mapping[ReviewId, EntityId | None]) -> list[RecallRow]:
    """Recall of every method over the reviews whose product is in the knowledge base."""
    known = {review: product for review, product in gold.items() if product is not None}
    bootstrap = ClusteredBootstrap(list(known.values()))
    rows = []
    for name, modality in found.modality.items():
        recall = {}
        if name in found.rankings and known:
            for k in found.cutoffs:
                hits = [product in found.rankings[name][review][:k] for review, product in known.items()]
                interval = bootstrap.ratio(hits)
                recall[str(k)] = (interval.value, interval.low, interval.high)
        rows.append(RecallRow(name, modality, len(known), recall, found.missing.get(name, "")))
    return rows


def write_qrels(out: Path, gold: Mapping[ReviewId, EntityId | None]) -> None:
    """Writes qrels.trec: the one right product of each review that has one in the knowledge base."""
    known = [(review, product) for review, product in gold.items() if product is not None]
    known.sort(key=lambda item: id_order(item[0]))
    lines = [f"{trec_id(review)} 0 {trec_id(product)} 1\n" for review, product in known]
    write_text(out / "qrels.trec", "".join(lines))


def _modality(finder: CandidateFinder) -> str:
    images = finder.config.image_weights
    texts = finder.retrievers.keys() - images.keys() - {"prior"}
    parts = [letter for letter, has in (("T", texts), ("V", images)) if has]
    return "+".join(parts) or "-"


def _line(review: Review, candidates: Sequence[Candidate]) -> str:
    content = [{"entity_id": c.entity_id, "score": c.score, "scores": dict(c.scores)} for c in candidates]
    return json.dumps({"review_id": review.id, "candidates": content}) + "\n"


def _trec(review: Review, candidates: Sequence[Candidate]) -> str:
    """Scores count down, so that no tool breaks ties in its own way."""
    lines = (
        f"{trec_id(review.id)} Q0 {trec_id(candidate.entity_id)} {rank} {len(candidates) - rank + 1} {TAG}\n"
        for rank, candidate in enumerate(candidates, start=1)
    )
    return "".join(lines)


@contextlib.contextmanager
def _files(out: Path) -> Iterator[tuple[TextIO, TextIO]]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (
            (out / "candidates.jsonl").open("w", encoding="utf-8") as lines,
            (out / "run.trec").open("w", encoding="utf-8") as trec,
        ):
            yield lines, trec
    except OSError as error:
        raise AmeliError(f"Cannot write to {out}: {error.strerror}.") from error

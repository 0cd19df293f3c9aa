"""Links reviews: candidates, attributes, comparison, fusion, in that order, one batch at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ameli_llm.attributes.extractor import Extraction, ExtractionTask, Extractor
from ameli_llm.attributes.merge import merge
from ameli_llm.comparison.comparator import Comparator, Comparison, ComparisonTask
from ameli_llm.comparison.rules import verdicts
from ameli_llm.config import AttributesConfig, FusionConfig
from ameli_llm.fusion.combine import Parts, decide, demote, fuse
from ameli_llm.fusion.mismatch import has_mismatch
from ameli_llm.runs import AttributeRow, CandidateRow, PredictionRow, TokensRow, VerdictRow
from ameli_llm.types import (
    Attributes,
    AttributeValue,
    Candidate,
    Failure,
    Product,
    Review,
    State,
    Usage,
    Vocabulary,
)


class CandidateSource(Protocol):
    """Retrieval, as the linker sees it."""

    def find(self, reviews: Sequence[Review], depth: int) -> list[list[Candidate]]:
        """Up to ``depth`` candidates a review, best first."""


@dataclass
class Stopwatch:
    """Seconds by stage, summed over the reviews of a batch."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Books the time since the last call on ``stage``."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


@dataclass(frozen=True)
class Flow:
    """The pipeline. ``candidates`` is K, how many are compared; ``depth`` how many are kept.

    Gold does not occur here. Without a ``comparator`` the text score is absent.
    """

    products: Mapping[int, Product]
    attributes: Mapping[int, Attributes]
    source: CandidateSource
    extractors: Mapping[str, Extractor]
    comparator: Comparator | None
    merging: AttributesConfig
    fusion: FusionConfig
    candidates: int = 10
    depth: int = 100

    def link(self, reviews: Sequence[Review]) -> list[PredictionRow]:
        """A row per review, in order."""
        watch = Stopwatch()
        found = self.retrieve(reviews)
        watch.lap("retrieval")
        extractions = self.extract(reviews, found, watch)
        rows = self.conclude(reviews, found, extractions, watch)
        share = {stage: seconds / len(rows) for stage, seconds in watch.seconds.items()} if rows else {}
        spent = {"seconds": sum(share.values()), "stage_seconds": share}
        return [row.model_copy(update=spent) for row in rows]

    def retrieve(self, reviews: Sequence[Review]) -> list[list[Candidate]]:
        """Candidates of each review, best first; the first ``candidates`` of them are compared."""
        return self.source.find(reviews, max(self.depth, self.candidates))

    def extract(
        self, reviews: Sequence[Review], found: Sequence[Sequence[Candidate]], watch: Stopwatch | None = None
    ) -> list[dict[str, Extraction]]:
        """What each extractor finds in each review, within the vocabulary of the compared candidates."""
        tasks = [
            ExtractionTask(review, vocabulary([self.attributes[c.entity_id] for c in self._top(candidates)]))
            for review, candidates in zip(reviews, found, strict=True)
        ]
        results: list[dict[str, Extraction]] = [{} for _ in reviews]
        for name, extractor in self.extractors.items():
            for by_name, extraction in zip(results, extractor.extract(tasks), strict=True):
                by_name[name] = extraction
            if watch is not None:
                watch.lap(f"extraction.{name}")
        return results

    def conclude(
        self,
        reviews: Sequence[Review],
        found: Sequence[Sequence[Candidate]],
        extractions: Sequence[Mapping[str, Extraction]],
        watch: Stopwatch | None = None,
    ) -> list[PredictionRow]:
        """A row per review, without its seconds: merges, compares, fuses, decides."""
        tasks = [
            self._comparison_task(review, self._top(candidates), merge(by_name, self.merging.precision))
            for review, candidates, by_name in zip(reviews, found, extractions, strict=True)
        ]
        if watch is not None:
            watch.lap("merge")
        comparisons = self._compare(tasks)
        if watch is not None:
            watch.lap("comparison")
        rows = [
            self._row(task, candidates, by_name, comparison)
            for task, candidates, by_name, comparison in zip(
                tasks, found, extractions, comparisons, strict=True
            )
        ]
        if watch is not None:
            watch.lap("fusion")
        return rows

    def _top(self, found: Sequence[Candidate]) -> Sequence[Candidate]:
        return found[: self.candidates]

    def _comparison_task(
        self, review: Review, candidates: Sequence[Candidate], values: tuple[AttributeValue, ...]
    ) -> ComparisonTask:
        ids = [candidate.entity_id for candidate in candidates]
        return ComparisonTask(
            review, tuple(self.products[i] for i in ids), tuple(self.attributes[i] for i in ids), values
        )

    def _compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """Comparisons in order; a review without candidates, or no comparator, gives an empty one."""
        if self.comparator is None:
            return [Comparison() for _ in tasks]
        asked = [task for task in tasks if task.candidates]
        results = iter(self.comparator.compare(asked))
        return [next(results) if task.candidates else Comparison() for task in tasks]

    def _row(
        self,
        task: ComparisonTask,
        found: Sequence[Candidate],
        extractions: Mapping[str, Extraction],
        comparison: Comparison,
    ) -> PredictionRow:
        usage = sum((e.usage for e in extractions.values()), Usage()) + comparison.usage
        ranking = self._rank(task, found, comparison)
        answer = _failure([e.failure for e in extractions.values()] + [comparison.failure])
        if answer is None:
            answer = self._answer(task, ranking, comparison.none_score)
        return PredictionRow(
            review_id=task.review.id,
            candidates=_candidate_rows(ranking, found),
            attributes=tuple(AttributeRow.of(value) for value in task.extracted),
            tokens=TokensRow(prompt=usage.prompt, completion=usage.completion, cached=usage.cached),
            compared=len(task.candidates),
            none_score=comparison.none_score,
            orders=comparison.orders,
            flips=comparison.flips,
            dropped=_sum_counts([e.dropped for e in extractions.values()]),
            **answer,
        )

    def _rank(
        self, task: ComparisonTask, found: Sequence[Candidate], comparison: Comparison
    ) -> list[tuple[float, Parts]]:
        compared = found[: len(task.candidates)]
        texts = comparison.scores or (None,) * len(compared)
        parts = [
            Parts(candidate.entity_id, candidate.score, text, candidate.scores.get("image"))
            for candidate, text in zip(compared, texts, strict=True)
        ]
        ranking = fuse(task.review.id, parts, self.fusion)
        if self.fusion.mismatch_filter:
            wrong = {
                product.id
                for product, attributes in zip(task.candidates, task.attributes, strict=True)
                if has_mismatch(task.extracted, attributes)
            }
            ranking = demote(ranking, wrong)
        return ranking

    def _answer(
        self, task: ComparisonTask, ranking: Sequence[tuple[float, Parts]], none_score: float | None
    ) -> dict[str, Any]:
        """State, entity, confidence and evidence of a review that no stage failed on."""
        if not ranking:
            return {"state": State.ABSTAINED, "entity_id": None, "confidence": 0.0, "error": "no candidates"}
        best = ranking[0][1].entity_id
        decision = decide([score for score, _ in ranking], best, none_score, self.fusion)
        position = [product.id for product in task.candidates].index(best)
        return {
            "state": decision.state,
            "entity_id": decision.entity_id,
            "confidence": decision.confidence,
            "kb_probability": decision.kb_probability,
            "evidence": tuple(
                VerdictRow(entity_id=best, key=verdict.key, verdict=verdict.verdict)
                for verdict in verdicts(task)[position]
            ),
        }


def vocabulary(attributes: Sequence[Attributes]) -> Vocabulary:
    """Keys and raw values of the candidates, in order of first occurrence, each once."""
    merged: dict[str, dict[str, None]] = {}
    for dictionary in attributes:
        for key, values in dictionary.items():
            merged.setdefault(key, {}).update(dict.fromkeys(values))
    return {key: tuple(values) for key, values in merged.items()}


def _failure(failures: Sequence[Failure | None]) -> dict[str, Any] | None:
    """No reply outweighs a broken one: the run may get it when it is started again."""
    happened = [failure for failure in failures if failure is not None]
    if not happened:
        return None
    worst = min(happened, key=lambda failure: failure.state is not State.ENGINE_ERROR)
    return {"state": worst.state, "entity_id": None, "confidence": None, "error": worst.message}


def _candidate_rows(
    ranking: Sequence[tuple[float, Parts]], found: Sequence[Candidate]
) -> tuple[CandidateRow, ...]:
    """The compared candidates by fused score, then the others in retrieval's order below the last of them.

    A candidate that was not compared has the lowest compared score, less what retrieval sees between it and
    the last compared candidate, so that ``score`` falls monotonically.
    """
    retrieved = {candidate.entity_id: candidate for candidate in found}
    rows = [
        CandidateRow(
            entity_id=part.entity_id,
            retrieval_score=part.retrieval,
            text_score=part.text,
            image_score=part.image,
            score=score,
            scores=dict(retrieved[part.entity_id].scores),
        )
        for score, part in ranking
    ]
    rest = found[len(ranking) :]
    floor = ranking[-1][0] - found[len(ranking) - 1].score if ranking else 0.0
    rows += [
        CandidateRow(
            entity_id=candidate.entity_id,
            retrieval_score=candidate.score,
            score=floor + candidate.score,
            scores=dict(candidate.scores),
        )
        for candidate in rest
    ]
    return tuple(rows)


def _sum_counts(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))

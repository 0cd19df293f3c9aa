"""The flow of a review: candidates, attributes, comparison, fusion, in that order, one batch at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ameli_llm.attributes.extractor import Extraction, ExtractionTask, Extractor
from ameli_llm.attributes.merge import merge
from ameli_llm.comparison.comparator import Comparison, ComparisonTask
from ameli_llm.comparison.panel import Panel
from ameli_llm.comparison.verdicts import verdicts
from ameli_llm.config import AttributesConfig, FusionConfig
from ameli_llm.fusion.combine import Parts, decide, demote, fuse
from ameli_llm.fusion.mismatch import has_mismatch
from ameli_llm.ids import EntityId
from ameli_llm.types import (
    Attributes,
    AttributeValue,
    Candidate,
    Failure,
    Link,
    Product,
    RankedCandidate,
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

    Gold does not occur here. Without a ``panel`` of comparators the text score is absent.
    """

    products: Mapping[EntityId, Product]
    attributes: Mapping[EntityId, Attributes]
    source: CandidateSource
    extractors: Mapping[str, Extractor]
    panel: Panel | None
    merging: AttributesConfig
    fusion: FusionConfig
    candidates: int = 10
    depth: int = 100

    def link(self, reviews: Sequence[Review]) -> list[Link]:
        """A link per review, in order."""
        watch = Stopwatch()
        found = self.retrieve(reviews)
        watch.lap("retrieval")
        extractions = self.extract(reviews, found, watch)
        links = self.conclude(reviews, found, extractions, watch)
        return timed(links, watch.seconds)

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
    ) -> list[Link]:
        """A link per review, without its seconds: merges, compares, fuses, decides."""
        tasks = [
            self._comparison_task(review, self._top(candidates), merge(by_name, self.merging.precision))
            for review, candidates, by_name in zip(reviews, found, extractions, strict=True)
        ]
        if watch is not None:
            watch.lap("merge")
        comparisons = self._compare(tasks)
        if watch is not None:
            watch.lap("comparison")
        links = [
            self._link(task, candidates, by_name, comparison)
            for task, candidates, by_name, comparison in zip(
                tasks, found, extractions, comparisons, strict=True
            )
        ]
        if watch is not None:
            watch.lap("fusion")
        return links

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
        """Comparisons in order; a review without candidates, or no panel, gives an empty one."""
        if self.panel is None:
            return [Comparison() for _ in tasks]
        asked = [task for task in tasks if task.candidates]
        results = iter(self.panel.compare(asked))
        return [next(results) if task.candidates else Comparison() for task in tasks]

    def _link(
        self,
        task: ComparisonTask,
        found: Sequence[Candidate],
        extractions: Mapping[str, Extraction],
        comparison: Comparison,
    ) -> Link:
        usage = sum((e.usage for e in extractions.values()), Usage()) + comparison.usage
        ranking = self._rank(task, found, comparison)
        failure = _worst([e.failure for e in extractions.values()] + [comparison.failure])
        link = Link(
            task.review.id,
            failure.state if failure else State.ABSTAINED,
            candidates=_ranked(ranking, found, _by_candidate(task, comparison)),
            attributes=task.extracted,
            error=failure.message if failure else None,
            compared=len(task.candidates),
            none_score=comparison.none_score,
            orders=comparison.orders,
            flips=comparison.flips,
            usage=usage,
            exchanges=(*(one for e in extractions.values() for one in e.exchanges), *comparison.exchanges),
            dropped=_sum_counts([e.dropped for e in extractions.values()]),
        )
        return link if failure else self._answered(link, task, ranking, comparison)

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

    def _answered(
        self, link: Link, task: ComparisonTask, ranking: Sequence[tuple[float, Parts]], comparison: Comparison
    ) -> Link:
        """The link of a review that no stage failed on, with its state, product, confidence and verdicts."""
        if not ranking:
            return replace(link, confidence=0.0, error="no candidates")
        best = ranking[0][1].entity_id
        decision = decide([score for score, _ in ranking], best, link.none_score, self.fusion)
        position = [product.id for product in task.candidates].index(best)
        beside = comparison.verdicts[position] if comparison.verdicts else ()
        return replace(
            link,
            state=decision.state,
            entity_id=decision.entity_id,
            confidence=decision.confidence,
            kb_probability=decision.kb_probability,
            verdicts=(*verdicts(task)[position], *beside),
        )


def timed(links: Sequence[Link], seconds: Mapping[str, float]) -> list[Link]:
    """The links of a batch, each with its share of the batch's seconds by stage."""
    share = {stage: spent / len(links) for stage, spent in seconds.items()} if links else {}
    return [replace(link, seconds=sum(share.values()), stage_seconds=share) for link in links]


def vocabulary(attributes: Sequence[Attributes]) -> Vocabulary:
    """Keys and raw values of the candidates, in order of first occurrence, each once."""
    merged: dict[str, dict[str, None]] = {}
    for dictionary in attributes:
        for key, values in dictionary.items():
            merged.setdefault(key, {}).update(dict.fromkeys(values))
    return {key: tuple(values) for key, values in merged.items()}


def _worst(failures: Sequence[Failure | None]) -> Failure | None:
    """No reply outweighs a broken one: the run may get it when it is started again."""
    happened = [failure for failure in failures if failure is not None]
    return min(happened, key=lambda failure: failure.state is not State.ENGINE_ERROR, default=None)


def _by_candidate(task: ComparisonTask, comparison: Comparison) -> dict[EntityId, dict[str, float]]:
    """The scores of each compared candidate by comparator."""
    scores = comparison.by_comparator
    return {
        product.id: {name: column[at] for name, column in scores.items()}
        for at, product in enumerate(task.candidates)
    }


def _ranked(
    ranking: Sequence[tuple[float, Parts]],
    found: Sequence[Candidate],
    text_scores: Mapping[EntityId, Mapping[str, float]],
) -> tuple[RankedCandidate, ...]:
    """The compared candidates by fused score, then the others in retrieval's order below the last of them.

    A candidate that was not compared has the lowest compared score, less what retrieval sees between it and
    the last compared candidate, so that ``score`` falls monotonically.
    """
    own = {candidate.entity_id: candidate.scores for candidate in found}
    compared = [
        RankedCandidate(
            part.entity_id,
            part.retrieval,
            part.text,
            part.image,
            score,
            own[part.entity_id],
            text_scores[part.entity_id],
        )
        for score, part in ranking
    ]
    rest = found[len(ranking) :]
    floor = ranking[-1][0] - found[len(ranking) - 1].score if ranking else 0.0
    beyond = [RankedCandidate(c.entity_id, c.score, None, None, floor + c.score, c.scores) for c in rest]
    return (*compared, *beyond)


def _sum_counts(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))

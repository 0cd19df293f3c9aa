"""The leaks of the official AMELI code, a setting each, for comparison with its figures only.

Nothing here is used unless ``link --official`` or ``evaluate --official`` asks for it. What a run took over
when linking stands by name in ``run.json`` (``spec.official``); leaks of training are settings of the
baselines, whose description lists them (``Trained``). The metrics name what was reproduced in
``protocol.reproduced`` and the rest in ``protocol.not_reproduced`` with the reason. The code meant is
VT-NLP/Ameli at commit 9102c4a.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ameli_llm.attributes.extractor import Extraction, ExtractionTask, Extractor
from ameli_llm.attributes.llm import LlmExtractor
from ameli_llm.comparison._model import orders_of
from ameli_llm.comparison.comparator import Comparator, Comparison, ComparisonTask
from ameli_llm.comparison.listwise import ListwiseComparator
from ameli_llm.flow import CandidateSource, Flow
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Attributes, Candidate, Product, Review

OFFICIAL = "official"
HONEST = "honest"
"""Names of the two protocols, in ``run.json`` and in the metrics."""

BATCH_SIZE = 16
"""Of the official code's loaders, which drop the last incomplete batch."""


@dataclass(frozen=True)
class Official:
    """What is taken over from the official code. Each setting is one leak."""

    gold_inserted: bool = True
    """The end-to-end loader takes a list with fewer than K others than gold for one that had it."""

    gold_in_score_dict: bool = True
    """The score dictionary of a review holds the gold product although retrieval missed it."""

    gold_keys: bool = True
    """Attribute extraction asks for the keys of gold's attributes (its default), values of all candidates."""

    titles_as_attributes: bool = True
    """The attribute dictionary has the key Product Title: to choose among titles is linking itself."""

    options_in_rank_order: bool = True
    """The options of a multiple choice, candidates or their values, stand in retrieval order: the place of
    an option tells the rank."""

    weights_on_reported_split: bool = True
    """The grid of fusion weights is searched by the figure that is then reported."""

    @classmethod
    def of(cls, names: Collection[str]) -> Official:
        """The settings that ``names`` lists, as ``spec.official`` of ``run.json`` does."""
        return cls(**{name: name in names for name in SAYS})

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that are on."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))


SAYS: Mapping[str, str] = {
    "gold_inserted": "gold inserted into short lists",
    "gold_in_score_dict": "gold among the keys of the score dictionary",
    "gold_keys": "attribute keys from gold",
    "titles_as_attributes": "titles counted as attributes",
    "options_in_rank_order": "options in rank order",
    "weights_on_reported_split": "fusion weights chosen on the reported split",
}
"""Setting of ``Official`` and how results name it."""

OF_TRAINING: Mapping[str, str] = {
    "image_chosen_with_gold": "image pair chosen with gold",
    "attributes_from_gold": "attributes filled from gold for training",
}
"""Leaks of training: name in a baseline's description, and how results name them."""

OUTSIDE: Mapping[str, str] = {
    "mentions from the gold title": "they are in the records as they are; data check names them",
    "test kept by human success": "reviews were left out of the release; no record shows it",
}
"""Leaks of the data, which no way of training or linking can add or take away."""


@dataclass(frozen=True)
class Trained:
    """The leaks of training that a run has, by name in ``OF_TRAINING``, and why it lacks the others."""

    leaks: tuple[str, ...] = ()
    otherwise: str = "link trains nothing"

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Trained:
        """By the ``spec`` of ``run.json``: what its baseline's description lists under ``leaks``.

        The description of a baseline that is not trained has no such list.
        """
        if "baseline" not in spec:
            return cls()
        leaks = spec["baseline"]["described"].get("leaks")
        if leaks is None:
            return cls(otherwise="the baseline is not trained")
        return cls(tuple(leaks), "the baseline's weights were trained without it")


def official_flow(
    flow: Flow, gold: Mapping[ReviewId, EntityId | None], official: Official
) -> tuple[Flow, Official]:
    """The flow with the leaks of ``official``, and those of them that this flow can have.

    It knows gold: never measure a method with it. Only extractors ask for keys, only a listwise comparison
    and an extractor that lists values have options, and who has neither extractors nor comparison reads no
    attributes.
    """
    comparators = flow.panel.comparators.values() if flow.panel else ()
    has_options = any(isinstance(comparator, ListwiseComparator) for comparator in comparators) or any(
        isinstance(extractor, LlmExtractor) and extractor.lists_values
        for extractor in flow.extractors.values()
    )
    found = replace(
        official,
        gold_keys=official.gold_keys and bool(flow.extractors),
        titles_as_attributes=official.titles_as_attributes and bool(flow.extractors or flow.panel),
        options_in_rank_order=official.options_in_rank_order and has_options,
    )
    if found.gold_inserted or found.gold_in_score_dict:
        source = GoldInserted(
            flow.source, gold, flow.candidates, found.gold_inserted, found.gold_in_score_dict
        )
        flow = replace(flow, source=source)
    if found.titles_as_attributes:
        titled = {i: _titled(flow.attributes[i], one) for i, one in flow.products.items()}
        flow = replace(flow, attributes=titled)
    if found.options_in_rank_order:
        flow = _in_rank_order(flow)
    if found.gold_keys:
        asked = {
            name: GoldKeys(extractor, gold, flow.attributes) for name, extractor in flow.extractors.items()
        }
        flow = replace(flow, extractors=asked)
    return flow, found


def _titled(attributes: Attributes, product: Product) -> Attributes:
    """A product's attributes with the whole title as one more."""
    return {**attributes, "Product Title": (product.name,)} if product.name else attributes


def _in_rank_order(flow: Flow) -> Flow:
    """The flow with every multiple choice in the order of the candidates, best first by retrieval."""
    extractors = {
        name: replace(extractor, order=list) if isinstance(extractor, LlmExtractor) else extractor
        for name, extractor in flow.extractors.items()
    }
    if flow.panel is None:
        return replace(flow, extractors=extractors)
    comparators: dict[str, Comparator] = {
        name: RankOrder(one) if isinstance(one, ListwiseComparator) else one
        for name, one in flow.panel.comparators.items()
    }
    return replace(flow, extractors=extractors, panel=replace(flow.panel, comparators=comparators))


@dataclass(frozen=True)
class GoldInserted:
    """A candidate source that knows gold, and puts it where retrieval missed it.

    ``short``: last in lists shorter than ``k``, with the last candidate's retrieval score (0 in an empty
    list). ``dictionary``: below all candidates of any list. An inserted product has no score of a single
    retriever.
    """

    source: CandidateSource
    gold: Mapping[ReviewId, EntityId | None]
    k: int
    short: bool = True
    dictionary: bool = False

    def find(self, reviews: Sequence[Review], depth: int) -> list[list[Candidate]]:
        """Up to ``depth`` candidates a review, best first, and gold last where it was inserted."""
        found = self.source.find(reviews, depth)
        return [self._inserted(review, one) for review, one in zip(reviews, found, strict=True)]

    def _inserted(self, review: Review, found: list[Candidate]) -> list[Candidate]:
        gold = self.gold.get(review.id)
        if gold is None or any(candidate.entity_id == gold for candidate in found):
            return found
        last = found[-1].score if found else 0.0
        if self.short and len(found) < self.k:
            return [*found, Candidate(gold, last)]
        if self.dictionary:
            return [*found, Candidate(gold, math.nextafter(last, -math.inf))]
        return found


@dataclass(frozen=True)
class GoldKeys:
    """An extractor that is asked for the attribute keys of the gold product only.

    A review without a gold product in the KB is asked for all keys.
    """

    extractor: Extractor
    gold: Mapping[ReviewId, EntityId | None]
    attributes: Mapping[EntityId, Attributes]

    @property
    def name(self) -> str:
        """The extractor's own."""
        return self.extractor.name

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        """One extraction per task, in the order of the tasks."""
        return self.extractor.extract([self._asked(task) for task in tasks])

    def _asked(self, task: ExtractionTask) -> ExtractionTask:
        gold = self.gold.get(task.review.id)
        if gold is None:
            return task
        keys = self.attributes[gold].keys()
        return replace(task, vocabulary={key: v for key, v in task.vocabulary.items() if key in keys})


@dataclass(frozen=True)
class RankOrder:
    """A listwise comparator whose options stand in the order of the candidates, best first by retrieval."""

    comparator: ListwiseComparator

    @property
    def name(self) -> str:
        """The comparator's own."""
        return self.comparator.name

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """One comparison per task, each by one candidate order."""
        one_order: Comparator = replace(self.comparator, orders=1)
        return one_order.compare([self._renumbered(task) for task in tasks])

    def _renumbered(self, task: ComparisonTask) -> ComparisonTask:
        """The task with ids under which the comparator's shuffle leaves the candidates where they are."""
        plain = tuple(replace(one, id=place) for place, one in enumerate(task.candidates))
        [shuffled] = orders_of(replace(task, candidates=plain), 1, self.comparator.seed)
        return replace(
            task, candidates=tuple(replace(one, id=i) for one, i in zip(plain, shuffled, strict=True))
        )

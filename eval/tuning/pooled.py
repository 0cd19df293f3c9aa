"""Weights of retrieval, comparators and fusion from several datasets at once, each of which counts the same.

What was chosen on one dataset may be of use on that one alone; defaults come from many, and what they are
worth is measured on one that was left out (``benchmarks/left_out.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ameli_llm.attributes.extractor import Extraction
from ameli_llm.config import FusionConfig, RunConfig
from ameli_llm.dataset.load import Split
from ameli_llm.flow import Flow
from ameli_llm.pipeline import Pipeline
from ameli_llm.types import Candidate, Link, Progress, Review
from eval.tuning.conditional_logit import Choice, fit
from eval.tuning.panel import Answered, fit_panel
from eval.tuning.refusion import ScoreTable
from eval.tuning.tune import best_fusion, read, retrieval_choices


@dataclass(frozen=True)
class Sample:
    """Some reviews of a dataset whose product is known, and what its retrievers say about them."""

    pipeline: Pipeline
    split: Split
    reviews: tuple[Review, ...]
    names: tuple[str, ...]
    choices: tuple[Choice, ...]

    @classmethod
    def of(cls, pipeline: Pipeline, split: Split, count: int, seed: int, progress: Progress) -> Sample:
        """``count`` reviews of the split whose product is in the KB, drawn by the seed; all, if fewer."""
        known = [review for review in split.reviews if split.gold.get(review.id) is not None]
        order = np.random.default_rng(seed).permutation(len(known))[:count]
        reviews = tuple(known[int(at)] for at in order)
        names = tuple(sorted(pipeline.finder.retrievers))
        choices = retrieval_choices(pipeline.finder, names, reviews, split.gold, progress)
        return cls(pipeline, split, reviews, names, tuple(choices))

    def reading(self, weights: dict[str, float], progress: Progress) -> Reading:
        """What the first stages say about the reviews when retrieval has these weights."""
        flow = self.pipeline.flow
        flow = replace(flow, source=self.pipeline.finder.with_weights(weights))
        flow = replace(flow, fusion=FusionConfig(retrieval=1.0, text=0.0, image=0.0))
        return Reading(self, flow, *read(flow, self.reviews, progress))


@dataclass(frozen=True)
class Reading:
    """Candidates and attribute values of a sample's reviews; what is compared and weighed comes after."""

    sample: Sample
    flow: Flow
    found: Sequence[Sequence[Candidate]]
    extractions: Sequence[Mapping[str, Extraction]]

    def links(self, panel: Mapping[str, float]) -> list[Link]:
        """What retrieval's score answers, with the text scores by these weights of the comparators."""
        flow = self.flow
        if flow.panel is not None:
            flow = replace(flow, panel=replace(flow.panel, weights=panel))
        return flow.conclude(self.sample.reviews, self.found, self.extractions)

    def answered(self) -> Iterator[Answered]:
        """What is answered about each review, and its product."""
        for link in self.links({}):
            yield link, self.sample.split.gold[link.review_id]

    def table(self, panel: Mapping[str, float]) -> ScoreTable:
        """The compared candidates' scores by these weights of the comparators."""
        return ScoreTable.of(self.links(panel), self.sample.split.gold)


def tune_on_all(config: RunConfig, samples: Sequence[Sample], progress: Progress) -> RunConfig:
    """The configuration with the weights of retrieval, comparators and fusion that answer all samples best.

    Samples of as many reviews count the same. The retrievers are those of all pipelines. Raises ValueError
    when these differ.
    """
    names = {sample.names for sample in samples}
    if len(names) != 1:
        raise ValueError("the samples have not the same retrievers")
    (columns,) = names
    found = fit([choice for sample in samples for choice in sample.choices], len(columns))
    weights = {name: round(float(weight), 4) for name, weight in zip(columns, found, strict=True)}
    readings = [sample.reading(weights, progress) for sample in samples]
    panel = fit_panel([pair for reading in readings for pair in reading.answered()])
    fusion = best_fusion(ScoreTable.joined([reading.table(panel) for reading in readings]))
    return config.model_copy(
        update={
            "retrieval": config.retrieval.model_copy(update={"weights": weights}),
            "comparison": config.comparison.model_copy(update={"weights": panel}),
            "fusion": config.fusion.model_copy(update={"text": fusion.text, "image": fusion.image}),
        }
    )

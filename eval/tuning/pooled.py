"""Weights of retrieval and fusion from several datasets at once, each of which counts the same.

What was chosen on one dataset may be of use on that one alone; defaults come from many, and what they are
worth is measured on one that was left out (``benchmarks/left_out.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ameli_llm.config import FusionConfig, RunConfig
from ameli_llm.dataset.load import Split
from ameli_llm.pipeline import Pipeline
from ameli_llm.types import Progress, Review
from eval.tuning.conditional_logit import Choice, fit
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

    def table(self, weights: dict[str, float], progress: Progress) -> ScoreTable:
        """The compared candidates' scores when retrieval has these weights."""
        flow = self.pipeline.flow
        flow = replace(flow, source=self.pipeline.finder.with_weights(weights))
        flow = replace(flow, fusion=FusionConfig(retrieval=1.0, text=0.0, image=0.0))
        links = flow.conclude(self.reviews, *read(flow, self.reviews, progress))
        return ScoreTable.of(links, self.split.gold)


def tune_on_all(config: RunConfig, samples: Sequence[Sample], progress: Progress) -> RunConfig:
    """The configuration with the weights of retrieval and fusion that answer all samples best.

    Samples of as many reviews count the same. The retrievers are those of all pipelines. Raises ValueError
    when these differ.
    """
    names = {sample.names for sample in samples}
    if len(names) != 1:
        raise ValueError("the samples have not the same retrievers")
    (columns,) = names
    found = fit([choice for sample in samples for choice in sample.choices], len(columns))
    weights = {name: round(float(weight), 4) for name, weight in zip(columns, found, strict=True)}
    fusion = best_fusion(ScoreTable.joined([sample.table(weights, progress) for sample in samples]))
    retrieval = config.retrieval.model_copy(update={"weights": weights})
    kept = config.fusion.model_copy(update={"text": fusion.text, "image": fusion.image})
    return config.model_copy(update={"retrieval": retrieval, "fusion": kept})

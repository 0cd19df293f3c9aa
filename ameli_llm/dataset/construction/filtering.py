"""The filter of section 3.4 at work in a build: features, labels or thresholds, and what is dropped by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ameli_llm.dataset.construction.features import FeatureReader, Features
from ameli_llm.dataset.construction.informative import InformativeModel, Thresholds, read_model
from ameli_llm.dataset.construction.learning import Learned, learn
from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.settings import Informative
from ameli_llm.dataset.construction.steps import Judged
from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.types import Progress

_KEPT = "filter"


@dataclass(frozen=True)
class Filter:
    """A model with the reader of what it looks at."""

    model: InformativeModel
    reader: FeatureReader
    figures: Mapping[str, Any] = field(default_factory=dict)

    def judge(self, reviews: list[RawReview]) -> list[Judged]:
        """The reviews; those that are not informative are dropped."""
        answers = self.model.informative(self.reader.features(reviews))
        return [
            Judged(review, "" if answer else "does not tell enough to find its product")
            for review, answer in zip(reviews, answers, strict=True)
        ]

    def content(self) -> dict[str, Any]:
        """Everything that decides its answers, and how well it does where that was measured."""
        return {**self.model.content(), **self.figures}


def find_filter(
    settings: Informative,
    store: BuildStore,
    reader: FeatureReader,
    labels: Mapping[str, bool] | None,
    batch: int,
    seed: int,
    progress: Progress,
) -> Filter | None:
    """The filter that labels teach, else that of the given thresholds, else none.

    What was learned is kept with the build, so that one that goes on has the same filter although labelled
    reviews are dropped by then. Raises AmeliError when too few of the labelled reviews were still there.
    """
    if labels is None:
        above = {str(name): most for name, most in settings.thresholds.items()}
        return Filter(Thresholds(above), reader) if above else None
    kept = store.fact(_KEPT)
    if kept is None:
        kept = _learn(settings, store, reader, labels, batch, seed, progress).content()
        with store.batch():
            store.keep(_KEPT, kept)
    return Filter(read_model(kept), reader, kept)


def _learn(
    settings: Informative,
    store: BuildStore,
    reader: FeatureReader,
    labels: Mapping[str, bool],
    batch: int,
    seed: int,
    progress: Progress,
) -> Learned:
    places = ((store.position_of(id_), label) for id_, label in labels.items())
    found = sorted((position, label) for position, label in places if position is not None)
    rows: list[Features] = []
    for start in range(0, len(found), batch):
        rows += reader.features([store.review_at(position) for position, _ in found[start : start + batch]])
        progress("labelled reviews", len(rows), len(found))
    return learn(settings, rows, [label for _, label in found], seed, missing=len(labels) - len(found))

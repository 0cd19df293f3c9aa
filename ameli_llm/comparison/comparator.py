"""What every comparator takes and gives. One file of this package is one way to compare candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ameli_llm.engines.engine import Exchange
from ameli_llm.types import Attributes, AttributeValue, Failure, Product, Review, Usage, Verdict


@dataclass(frozen=True, slots=True)
class ComparisonTask:
    """A review, its candidates best first by retrieval, their attributes, and what extraction found."""

    review: Review
    candidates: tuple[Product, ...]
    attributes: tuple[Attributes, ...]
    extracted: tuple[AttributeValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A score per candidate, in the order of the task; higher is better, comparable within one review.

    ``none_score`` is the score of "none of these", when the comparator asks for it. ``orders`` and
    ``flips`` say over how many candidate orders the scores were averaged and in how many of them the
    first choice differed from the averaged one. ``by_comparator`` holds the scores of each comparator, where
    several were added up. On ``failure`` all of these are empty. ``exchanges`` are the requests that
    were made for it, each with its reply. ``verdicts`` are, for each candidate, what a comparator found in it
    beside the attributes that extractors read.
    """

    scores: tuple[float, ...] = ()
    none_score: float | None = None
    usage: Usage = Usage()
    failure: Failure | None = None
    orders: int = 1
    flips: int = 0
    by_comparator: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    exchanges: tuple[Exchange, ...] = ()
    verdicts: tuple[tuple[Verdict, ...], ...] = ()


class Comparator(Protocol):
    """Scores how well each candidate's attributes agree with the review."""

    @property
    def name(self) -> str:
        """The file name of the module."""

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """One comparison per task, in the order of the tasks. Never raises on bad review content."""

"""A review, the products it may be about, and what its words say of the one that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.comparison.verdicts import verdicts
from ameli_llm.types import Attributes, AttributeValue, Evidence, Product, Review


@dataclass(frozen=True, slots=True)
class Fact:
    """The review says by the words ``quote`` that the product has this raw value, or that it has it not."""

    key: str
    value: str
    quote: str
    denied: bool = False


@dataclass(frozen=True)
class Told:
    """A review with all that it says of its product within the candidates' vocabulary.

    What it says of other products is not among the ``facts``. The candidates need not hold the product.
    """

    review: Review
    facts: tuple[Fact, ...]
    candidates: tuple[Product, ...]
    attributes: tuple[Attributes, ...]

    def task(self, stated: tuple[Fact, ...] = ()) -> ComparisonTask:
        """The comparison of the candidates when extraction found the facts ``stated``."""
        return ComparisonTask(self.review, self.candidates, self.attributes, tuple(map(_extracted, stated)))

    @cached_property
    def possible(self) -> tuple[int, ...]:
        """Positions of the candidates that no fact speaks against."""
        return tuple(
            at
            for at, found in enumerate(verdicts(self.task(self.facts)))
            if not any(verdict.verdict == "conflict" for verdict in found)
        )

    @cached_property
    def agreeing(self) -> frozenset[int]:
        """Positions of the candidates that at least one fact speaks for."""
        return frozenset(
            at
            for at, found in enumerate(verdicts(self.task(self.facts)))
            if any(verdict.verdict == "agree" for verdict in found)
        )


def _extracted(fact: Fact) -> AttributeValue:
    evidence = Evidence("body", 0, len(fact.quote), fact.quote)
    return AttributeValue(fact.key, fact.value, "facts", evidence, fact.denied)

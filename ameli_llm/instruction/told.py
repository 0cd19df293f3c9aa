"""A review, the products it may be about, and what its words say of the one that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from ameli_llm.attributes.values.normalise import PARTIAL, agreement, normalise, normalise_all
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.types import Attributes, AttributeValue, Evidence, Product, Review

TOGETHER = 6
"""Reviews of the same candidates in a row of a source: their prompts begin alike."""

Bearing: TypeAlias = Literal["for", "against", "open"]
"""What facts say of a statement."""


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
    Where ``invented``, nobody wrote the review, and values of a key exclude each other however alike they
    read; otherwise such as cannot be compared (a colour and "Multicolor") leave it open. Where ``answered``,
    somebody chose already: the candidate at the position ``chosen``, or none of them. ``product`` is the
    position of the one that the review is about, where it is known and among them. Where not ``read``, nobody
    has said what the review states.
    """

    review: Review
    facts: tuple[Fact, ...]
    candidates: tuple[Product, ...]
    attributes: tuple[Attributes, ...]
    invented: bool = False
    chosen: int | None = None
    answered: bool = False
    product: int | None = None
    read: bool = True

    def task(self, stated: tuple[Fact, ...] = ()) -> ComparisonTask:
        """The comparison of the candidates when extraction found the facts ``stated``."""
        return ComparisonTask(self.review, self.candidates, self.attributes, tuple(map(_extracted, stated)))

    def bearing(self, key: str, values: Sequence[str]) -> Bearing | None:
        """What the facts say of a product that has these values of the key.

        None where one agrees in part, as with another shade of a colour.
        """
        known = normalise_all(key, values)
        levels = [
            (fact.denied, agreement(normalise(key, fact.value), known))
            for fact in self.facts
            if fact.key == key and known
        ]
        if self.invented:
            levels = [(denied, float(level == 1)) for denied, level in levels]
        if any(level == PARTIAL for _, level in levels):
            return None
        if any(level == (0 if not denied else 1) for denied, level in levels):
            return "against"
        return "for" if any(level == 1 for _, level in levels) else "open"

    @cached_property
    def possible(self) -> tuple[int, ...]:
        """Positions of the candidates that no fact speaks against."""
        return tuple(at for at, found in enumerate(self._bearings) if "against" not in found)

    @cached_property
    def agreeing(self) -> frozenset[int]:
        """Positions of the candidates that at least one fact speaks for, or whose rivals it denies."""
        denies = any(fact.denied for fact in self.facts)
        return frozenset(at for at, found in enumerate(self._bearings) if denies or "for" in found)

    @cached_property
    def _bearings(self) -> list[set[Bearing | None]]:
        keys = dict.fromkeys(fact.key for fact in self.facts)
        return [{self.bearing(key, known.get(key, ())) for key in keys} for known in self.attributes]


def _extracted(fact: Fact) -> AttributeValue:
    evidence = Evidence("body", 0, len(fact.quote), fact.quote)
    return AttributeValue(fact.key, fact.value, "facts", evidence, fact.denied)

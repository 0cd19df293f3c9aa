"""The official AMELI code's insertion of gold into candidate lists, for comparison with its figures only.

Its end-to-end loader takes a list with fewer than K others for one that contained the gold product and puts
it in. Lists are short after the prior filter, so end-to-end F1 comes out too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ameli_llm.linker import CandidateSource
from ameli_llm.types import Candidate, Review

OFFICIAL = "official"
HONEST = "honest"
"""Names of the two protocols, in ``run.json`` and in the metrics."""

BATCH_SIZE = 16
"""Of the official code's loaders, which drop the last incomplete batch."""


@dataclass(frozen=True)
class GoldInserted:
    """A candidate source that knows gold: it appends it, unretrieved, to lists shorter than ``k``.

    The inserted product has the last candidate's retrieval score, 0 in an empty list, and no score of a
    single retriever.
    """

    source: CandidateSource
    gold: Mapping[int, int | None]
    k: int

    def find(self, reviews: Sequence[Review], depth: int) -> list[list[Candidate]]:
        """Up to ``depth`` candidates a review, best first, gold last where it was inserted."""
        found = self.source.find(reviews, depth)
        return [self._inserted(review, one) for review, one in zip(reviews, found, strict=True)]

    def _inserted(self, review: Review, found: list[Candidate]) -> list[Candidate]:
        gold = self.gold.get(review.id)
        if gold is None or len(found) >= self.k or any(c.entity_id == gold for c in found):
            return found
        return [*found, Candidate(gold, found[-1].score if found else 0.0)]

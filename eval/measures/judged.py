"""A prediction beside its gold: what every measure of this package looks at."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ameli_llm.errors import AmeliError
from ameli_llm.ids import ReviewId, id_order
from ameli_llm.runs import CandidateRow, GoldRow, PredictionRow
from ameli_llm.ties import ranked
from ameli_llm.types import State
from eval.measures.statistics import SAMPLES, ClusteredBootstrap


@dataclass(frozen=True)
class Judged:
    """A review's prediction and its gold."""

    row: PredictionRow
    gold: GoldRow

    @property
    def review_id(self) -> ReviewId:
        """The review."""
        return self.row.review_id

    @property
    def in_kb(self) -> bool:
        """Whether the right product is in the KB."""
        return self.gold.gold is not None

    @property
    def linked(self) -> bool:
        """Whether the run answered with a product."""
        return self.row.state is State.LINKED

    @property
    def failed(self) -> bool:
        """Whether the model's reply was unusable or never came."""
        return self.row.state in (State.INVALID_OUTPUT, State.ENGINE_ERROR)

    @cached_property
    def hit(self) -> bool:
        """Whether the run answered with the right product."""
        return self.linked and self.in_kb and self.row.entity_id == self.gold.gold

    @cached_property
    def right(self) -> bool:
        """Whether the run is right: the right product, or nil when that is not in the KB."""
        return self.hit if self.in_kb else self.row.state is State.NIL

    @cached_property
    def rank(self) -> int | None:
        """Position of the right product by retrieval, from 1; None when it was not retrieved."""
        if self.gold.gold is None:
            return None
        ids = [candidate.entity_id for candidate in by_retrieval(self.row)]
        return ids.index(self.gold.gold) + 1 if self.gold.gold in ids else None

    def within(self, k: int) -> bool:
        """Whether the right product is among the first ``k`` candidates by retrieval."""
        return self.rank is not None and self.rank <= k


def by_retrieval(row: PredictionRow) -> list[CandidateRow]:
    """Candidates best first by ``retrieval_score``; ties by ``ties.chance``."""
    ids = [candidate.entity_id for candidate in row.candidates]
    order = ranked(row.review_id, ids, [candidate.retrieval_score for candidate in row.candidates])
    return [row.candidates[position] for position in order]


def in_order(rows: Iterable[PredictionRow]) -> list[PredictionRow]:
    """Rows in order of review id. Raises AmeliError on a review predicted twice."""
    ordered = sorted(rows, key=lambda row: id_order(row.review_id))
    for first, second in itertools.pairwise(ordered):
        if first.review_id == second.review_id:
            raise AmeliError(
                f"Review {first.review_id!r} was predicted twice.",
                hint="Remove one of its lines from predictions.jsonl.",
            )
    return ordered


def judge(rows: Iterable[PredictionRow], gold: Mapping[ReviewId, GoldRow]) -> list[Judged]:
    """Predictions that have gold, in order of review id. Raises AmeliError on a review predicted twice."""
    return [Judged(row, gold[row.review_id]) for row in in_order(rows) if row.review_id in gold]


def product_bootstrap(judged: Sequence[Judged], samples: int = SAMPLES, seed: int = 0) -> ClusteredBootstrap:
    """Resamples of the gold products behind ``judged``; a review without one stands alone."""
    return ClusteredBootstrap([one.gold.gold for one in judged], samples, seed)

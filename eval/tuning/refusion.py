"""A run's stored scores fused anew: what another weight or threshold would have answered, without a model.

The run is read into arrays once; each change of the fusion then costs milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.config import FusionConfig
from ameli_llm.errors import AmeliError
from ameli_llm.fusion.combine import decide
from ameli_llm.fusion.missing import filled
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.runs import CandidateRow, PredictionRow
from ameli_llm.ties import chance
from ameli_llm.types import Link, RankedCandidate, State
from eval.measures.statistics import ClusteredBootstrap, Interval

Array: TypeAlias = npt.NDArray[np.float64]
Gold: TypeAlias = Mapping[ReviewId, EntityId | None]

PAD = -1
"""A column where there is none."""


@dataclass(frozen=True)
class ScoreTable:
    """The scores of the compared candidates of n reviews, K columns each, in the order of ``ties.chance``,
    so that the first of the best columns is the answer.

    ``ids`` are the candidates' of each review. Where a review has fewer than K, ``present`` [n, K] is False
    and the scores [n, K] are NaN. ``right`` [n] is the column of the gold product, PAD when it is not among
    them. ``failed`` is the state of a review that a stage failed on, None for the others.
    """

    ids: tuple[tuple[EntityId, ...], ...]
    present: npt.NDArray[np.bool_]
    retrieval: Array
    text: Array
    image: Array
    none: tuple[float | None, ...]
    gold: tuple[EntityId | None, ...]
    right: npt.NDArray[np.int64]
    failed: tuple[State | None, ...]

    @classmethod
    def of(cls, rows: Sequence[PredictionRow | Link], gold: Gold) -> ScoreTable:
        """The table of the rows that have gold, in their order."""
        known = [row for row in rows if row.review_id in gold]
        compared = [_by_chance(row) for row in known]
        width = max((len(candidates) for candidates in compared), default=0)
        ids = tuple(tuple(one.entity_id for one in candidates) for candidates in compared)
        present = np.arange(width)[None, :] < np.array([len(one) for one in ids], dtype=np.int64)[:, None]
        scores = np.full((3, len(known), width), np.nan)
        for row, candidates in enumerate(compared):
            for column, one in enumerate(candidates):
                parts = (one.retrieval_score, one.text_score, one.image_score)
                scores[:, row, column] = [math.nan if part is None else part for part in parts]
        answers = tuple(gold[row.review_id] for row in known)
        columns = [
            candidates.index(answer) if answer is not None and answer in candidates else PAD
            for candidates, answer in zip(ids, answers, strict=True)
        ]
        right = np.array(columns, dtype=np.int64)
        failures = (State.ENGINE_ERROR, State.INVALID_OUTPUT)
        failed = tuple(row.state if row.state in failures else None for row in known)
        none = tuple(row.none_score for row in known)
        return cls(ids, present, scores[0], scores[1], scores[2], none, answers, right, failed)

    @classmethod
    def joined(cls, tables: Sequence[ScoreTable]) -> ScoreTable:
        """The rows of all tables, of which there is one at least, in their order."""
        width = max(table.present.shape[1] for table in tables)

        def stacked(part: str, padding: float | bool) -> npt.NDArray[Any]:
            made = [np.asarray(getattr(table, part)) for table in tables]
            return np.concatenate(
                [np.pad(one, ((0, 0), (0, width - one.shape[1])), constant_values=padding) for one in made]
            )

        def chained(part: str) -> tuple[Any, ...]:
            return tuple(chain.from_iterable(getattr(table, part) for table in tables))

        return cls(
            ids=chained("ids"),
            present=stacked("present", False),
            retrieval=stacked("retrieval", math.nan),
            text=stacked("text", math.nan),
            image=stacked("image", math.nan),
            none=chained("none"),
            gold=chained("gold"),
            right=np.concatenate([table.right for table in tables]),
            failed=chained("failed"),
        )

    def fused(self, fusion: FusionConfig) -> Array:
        """[n, K] scores as ``fusion.combine.fuse`` gives them; minus infinity where there is no candidate."""
        total = fusion.retrieval * self.retrieval
        total = total + fusion.text * filled(self.text) + fusion.image * filled(self.image)
        return np.where(self.present, total, -np.inf)


def _by_chance(row: PredictionRow | Link) -> list[CandidateRow | RankedCandidate]:
    """The compared candidates; equal scores are answered by the first of them."""
    compared: Sequence[CandidateRow | RankedCandidate] = row.candidates[: row.compared]
    return sorted(compared, key=lambda one: chance(row.review_id, one.entity_id))


@dataclass(frozen=True)
class Refused:
    """Scores of a run under another fusion."""

    end_to_end_f1: Interval
    disambiguation_f1: Interval
    states: Mapping[str, int]


class Refusion:
    """Scores a table under one fusion after the other; the bootstrap's resamples are drawn once."""

    def __init__(self, table: ScoreTable) -> None:
        self.table = table
        self._bootstrap = ClusteredBootstrap(table.gold)

    def score(self, fusion: FusionConfig) -> Refused:
        """The scores under ``fusion``. Raises AmeliError on the mismatch filter: it needs attributes."""
        if fusion.mismatch_filter:
            raise AmeliError(
                "The mismatch filter cannot be applied to stored scores.", hint="Link again with it."
            )
        table = self.table
        fused = table.fused(fusion)
        best = fused.argmax(axis=1) if fused.shape[1] else np.zeros(len(fused), dtype=np.int64)
        states = [self._state(row, fused[row], fusion) for row in range(len(fused))]
        linked = np.array([state is State.LINKED for state in states], dtype=bool)
        hit = linked & (best == table.right)
        in_kb = np.array([gold is not None for gold in table.gold], dtype=bool)
        within = table.right != PAD
        return Refused(
            self._bootstrap.ratio(2 * hit, linked.astype(int) + in_kb),
            self._bootstrap.ratio(2 * (hit & within), (linked & within).astype(int) + within),
            {state.value: states.count(state) for state in State},
        )

    def _state(self, row: int, scores: Array, fusion: FusionConfig) -> State:
        failed = self.table.failed[row]
        if failed is not None:
            return failed
        ordered = np.sort(scores[scores > -np.inf])[::-1].tolist()
        if not ordered:
            return State.ABSTAINED
        return decide(ordered, 0, self.table.none[row], fusion).state

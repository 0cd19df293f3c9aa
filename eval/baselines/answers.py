"""From a baseline's scores to the lines of a run folder, so that every row of a table is measured alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

import numpy as np

from ameli_llm.fusion.missing import filled
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.runs import CandidateRow, PredictionRow
from ameli_llm.ties import ranked
from ameli_llm.types import State
from eval.baselines.baseline import Floats, Scored, Task


def answers(
    rows: Mapping[ReviewId, PredictionRow], tasks: Sequence[Task], scored: Sequence[Scored], seconds: float
) -> list[PredictionRow]:
    """A row per task: its candidates by ``total``, linked to the first of them.

    ``rows`` are the predictions, by review, of the run that the tasks were made from; ``seconds`` is what
    scoring took in all. A candidate without a score counts as the mean of the others, a review without any
    score is linked by chance, one without candidates abstains.
    """
    share = seconds / len(tasks) if tasks else 0.0
    return [_answer(rows[task.review.id], task, one, share) for task, one in zip(tasks, scored, strict=True)]


def _answer(row: PredictionRow, task: Task, scored: Scored, seconds: float) -> PredictionRow:
    total = filled(np.asarray(scored.total, dtype=np.float64)[None, :])[0].tolist()
    order = ranked(task.review.id, task.entity_ids, total)
    by_id = {one.entity_id: one for one in row.candidates}
    first = [
        by_id[task.candidates[i].entity_id].model_copy(
            update={"score": total[i], "text_score": _at(scored.text, i), "image_score": _at(scored.image, i)}
        )
        for i in order
    ]
    linked = bool(first)
    return PredictionRow(
        review_id=row.review_id,
        state=State.LINKED if linked else State.ABSTAINED,
        entity_id=first[0].entity_id if linked else None,
        confidence=_share([one.score for one in first]) if linked else 0.0,
        candidates=(*first, *_rest(row, {one.entity_id for one in first}, first)),
        seconds=seconds,
        error=None if linked else "no candidates",
        compared=len(first),
        stage_seconds={"scoring": seconds},
    )


def _rest(row: PredictionRow, taken: Set[EntityId], first: Sequence[CandidateRow]) -> list[CandidateRow]:
    """The candidates that were not scored, in retrieval's order below the others."""
    rest = sorted(
        (one for one in row.candidates if one.entity_id not in taken), key=lambda one: -one.retrieval_score
    )
    floor = first[-1].score - rest[0].retrieval_score if first and rest else 0.0
    return [
        one.model_copy(update={"score": floor + one.retrieval_score, "text_score": None, "image_score": None})
        for one in rest
    ]


def _at(scores: Floats | None, position: int) -> float | None:
    if scores is None or math.isnan(float(scores[position])):
        return None
    return float(scores[position])


def _share(scores: Sequence[float]) -> float:
    """Softmax share of the first."""
    return 1.0 / math.fsum(math.exp(max(score - scores[0], -700.0)) for score in scores)

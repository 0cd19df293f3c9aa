"""Tasks and examples for baselines, from finished runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.runs import PredictionRow
from ameli_llm.types import Candidate, Review
from eval.baselines.baseline import Example, Task
from eval.measures.judged import by_retrieval


def tasks(rows: Iterable[PredictionRow], reviews: Sequence[Review], k: int) -> list[Task]:
    """A task per review, in the order of ``reviews``: the first ``k`` candidates by retrieval score.

    ``rows`` are a run's predictions. Raises AmeliError when a review has none.
    """
    by_id = {row.review_id: row for row in rows}
    made = []
    for review in reviews:
        if review.id not in by_id:
            raise AmeliError(f"The run has no prediction for review {review.id}.", hint="Let link finish.")
        row = by_id[review.id]
        candidates = tuple(
            Candidate(one.entity_id, one.retrieval_score, one.scores) for one in by_retrieval(row)[:k]
        )
        made.append(Task(review, candidates, tuple(value.load() for value in row.attributes)))
    return made


def examples(rows: Iterable[PredictionRow], fold: Fold, k: int) -> list[Example]:
    """The fold's tasks with their gold products, in the fold's order."""
    made = tasks(rows, fold.reviews, k)
    return [Example(task, fold.gold[task.review.id]) for task in made]


def folded(name: str, examples: Iterable[Example]) -> Fold:
    """The fold of these examples, with their candidates."""
    kept = list(examples)
    return Fold(
        name,
        tuple(one.task.review for one in kept),
        {one.task.review.id: one.gold for one in kept},
        {one.task.review.id: tuple(one.task.entity_ids) for one in kept},
    )

"""Tasks from finished runs, and the split of gold products into those to train on and those to choose on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.runs import PredictionRow
from ameli_llm.types import Candidate, Review
from eval.baselines.baseline import Example, Task
from eval.measures.judged import by_retrieval

HELD_OUT = 0.2
"""Share of the gold products that is kept for choices when no other split is there for them."""


@dataclass(frozen=True)
class Fold:
    """Reviews of the split ``name`` with their gold products, which are in the KB.

    ``candidates`` are product ids by review, best first, as retrieval found them; empty until ``folded``.
    """

    name: str
    reviews: tuple[Review, ...]
    gold: Mapping[int, int]
    candidates: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def folds(dataset: Dataset, split: str, seed: int) -> tuple[Fold, Fold]:
    """The fold of ``split`` to train on and one to choose on; they share no gold product.

    The latter is dev or, where that is the split or there is none, ``HELD_OUT`` of the split's gold products.
    Reviews of a gold product that both splits have are left out of training. Raises AmeliError when one of
    the two is empty.
    """
    train = _fold(dataset.split(split))
    if train.name != "dev" and "dev" in dataset.splits():
        dev = _fold(dataset.split("dev"))
    else:
        products = np.random.default_rng(seed).permutation(sorted(set(train.gold.values())))
        kept = {int(product) for product in products[: round(HELD_OUT * len(products))]}
        dev = _only(train, kept)
    train = _only(train, set(train.gold.values()) - set(dev.gold.values()))
    for fold, use in ((train, "train on"), (dev, "choose on")):
        if not fold.reviews:
            raise AmeliError(
                f"{dataset.root} has no review to {use}: {split} has too few with a gold product.",
                hint="Name a split that has more with --train-split.",
            )
    return train, dev


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
        made.append(Task(review, candidates, tuple(value.attribute() for value in row.attributes)))
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


def _fold(split: Split) -> Fold:
    gold = {review: product for review, product in split.gold.items() if product is not None}
    return Fold(split.name, tuple(review for review in split.reviews if review.id in gold), gold)


def _only(fold: Fold, products: set[int]) -> Fold:
    gold = {review: product for review, product in fold.gold.items() if product in products}
    return replace(fold, reviews=tuple(one for one in fold.reviews if one.id in gold), gold=gold)

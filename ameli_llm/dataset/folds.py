"""Reviews with gold to train on and to choose on, without a gold product in common."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

import numpy as np

from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId, ReviewId, id_order
from ameli_llm.types import Review

HELD_OUT = 0.2
"""Share of the gold products that is kept for choices when no other split is there for them."""


@dataclass(frozen=True)
class Fold:
    """Reviews of the split ``name`` with their gold products, which are in the KB.

    ``candidates`` are product ids by review, best first, as retrieval found them; empty until ``folded``.
    """

    name: str
    reviews: tuple[Review, ...]
    gold: Mapping[ReviewId, EntityId]
    candidates: Mapping[ReviewId, tuple[EntityId, ...]] = field(default_factory=dict)


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
        products = sorted(set(train.gold.values()), key=id_order)
        drawn = np.random.default_rng(seed).permutation(len(products))[: round(HELD_OUT * len(products))]
        dev = _only(train, {products[int(at)] for at in drawn})
    train = _only(train, set(train.gold.values()) - set(dev.gold.values()))
    for fold, use in ((train, "train on"), (dev, "choose on")):
        if not fold.reviews:
            raise AmeliError(
                f"{dataset.root} has no review to {use}: {split} has too few with a gold product.",
                hint="Name a split that has more with --train-split.",
            )
    return train, dev


def _fold(split: Split) -> Fold:
    gold = {review: product for review, product in split.gold.items() if product is not None}
    return Fold(split.name, tuple(review for review in split.reviews if review.id in gold), gold)


def _only(fold: Fold, products: Set[EntityId]) -> Fold:
    gold = {review: product for review, product in fold.gold.items() if product in products}
    return replace(fold, reviews=tuple(one for one in fold.reviews if one.id in gold), gold=gold)

"""A part of a split that stands for all of it: seeded, stratified, and nested in every larger one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from ameli_llm.dataset.content import reviews_digest
from ameli_llm.dataset.split import Split
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId, ReviewId


def sampled(split: Split, categories: Mapping[EntityId, str], n: int, seed: int = 0) -> Split:
    """``n`` reviews of the split, in its order; all of them where it has no more.

    Each stratum has its share, within one review: the right product's category (``categories`` by product),
    products outside the knowledge base, reviews without gold. A sample of the same seed is a part of each
    larger one. The choice depends on ids alone, not on the order of the reviews. Raises AmeliError when ``n``
    is not positive.
    """
    if n < 1:
        raise AmeliError(f"A sample of {n} reviews.", hint="Ask for at least one.")
    strata: dict[tuple[bool, str], list[ReviewId]] = defaultdict(list)
    for review in split.reviews:
        strata[_stratum(split, categories, review.id)].append(review.id)
    place: dict[ReviewId, tuple[float, str]] = {}
    for members in strata.values():
        drawn = {_drawn(seed, review): review for review in members}
        for rank, number in enumerate(sorted(drawn)):
            place[drawn[number]] = ((rank + 0.5) / len(drawn), number)
    chosen = set(sorted(place, key=place.__getitem__)[:n])
    reviews = tuple(review for review in split.reviews if review.id in chosen)
    gold = {review: product for review, product in split.gold.items() if review in chosen}
    names = {review: name for review, name in split.gold_names.items() if review in chosen}
    return replace(split, reviews=reviews, gold=gold, gold_names=names, digest=reviews_digest(reviews, gold))


def _stratum(split: Split, categories: Mapping[EntityId, str], review: ReviewId) -> tuple[bool, str]:
    """Whether gold says anything of the review, and the category of its product, "" outside the KB."""
    product = split.gold.get(review)
    return review in split.gold, "" if product is None else categories.get(product, "")


def _drawn(seed: int, review: ReviewId) -> str:
    """As good as random, and fixed for the two."""
    return hashlib.sha256(f"{seed} {review!r}".encode()).hexdigest()

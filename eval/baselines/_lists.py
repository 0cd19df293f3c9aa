"""Candidates in training: what a gold product is told from, and by which products an image is selected."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId, ReviewId
from eval.baselines._images import Images


def others(fold: Fold) -> dict[ReviewId, tuple[EntityId, ...]]:
    """The K - 1 best candidates beside the gold product of each review; K is the length of the longest list.

    So gold takes the place of the last candidate where retrieval missed it. Raises AmeliError when a review
    has no list, or when no list has another product than gold.
    """
    lists = retrieved(fold)
    k = max(len(lists[review.id]) for review in fold.reviews)
    found = {
        review.id: tuple(one for one in lists[review.id] if one != fold.gold[review.id])[: k - 1]
        for review in fold.reviews
    }
    if not any(found.values()):
        raise AmeliError(
            f"No review of {fold.name} has a candidate beside its gold product.",
            hint="Training needs reviews with gold and two candidates or more.",
        )
    return found


def beside(fold: Fold, images: Images, gold_image: bool) -> Mapping[ReviewId, Sequence[EntityId]]:
    """The products by whose images the one image of each review is selected; none where none is selected.

    They are the review's candidates or, with ``gold_image``, its gold product alone (official, on train and
    dev). Raises AmeliError when a review has no list of candidates.
    """
    if images != "selected":
        return {}
    if gold_image:
        return {review: (gold,) for review, gold in fold.gold.items()}
    return retrieved(fold)


def retrieved(fold: Fold) -> Mapping[ReviewId, Sequence[EntityId]]:
    """The candidates of each review as retrieval found them. Raises AmeliError when a review has no list."""
    lacking = [review.id for review in fold.reviews if review.id not in fold.candidates]
    if lacking:
        raise AmeliError(
            f"These settings need the candidates of every review of {fold.name}: {lacking[0]} has none.",
            hint="ameli-llm train makes them, or takes them from finished runs with --candidates DIR.",
        )
    return fold.candidates


def digest(fold: Fold) -> str:
    """The first 16 hex digits of a SHA-256 over the reviews' candidates, in order."""
    rows = [(review.id, list(fold.candidates.get(review.id, ()))) for review in fold.reviews]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

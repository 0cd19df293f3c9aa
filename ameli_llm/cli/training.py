"""From reviews and an index to the image pairs that the adapter is trained on: what ``train`` needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.types import Review

if TYPE_CHECKING:
    from ameli_llm.fusion.contrastive import ImageSearch, Pairs
    from retrieval.encoders.encoder import Vectors
    from retrieval.index import Index

HELD_OUT = 0.2
"""Share of the gold products that is kept for early stopping when no other split is there for it."""


def image_training_data(dataset: Dataset, split: Split, index: Index, seed: int) -> tuple[Pairs, ImageSearch]:
    """Pairs of ``split`` and reviews for early stopping, which share no gold product.

    The latter are those of dev or, where that is the split or there is none, of ``HELD_OUT`` of the gold
    products. Raises AmeliError when none of them has a readable image.
    """
    train = _reviews_with_gold(split, index)
    if split.name != "dev" and "dev" in dataset.splits():
        dev = _reviews_with_gold(dataset.split("dev"), index)
    else:
        golds = np.random.default_rng(seed).permutation(sorted({gold for _, gold in train}))
        kept = {int(gold) for gold in golds[: round(HELD_OUT * len(golds))]}
        dev = [item for item in train if item[1] in kept]
        train = [item for item in train if item[1] not in kept]
    return _pairs(dataset, train, index), _search(dataset, dev, index)


def _reviews_with_gold(split: Split, index: Index) -> list[tuple[Review, int]]:
    """Reviews with images whose gold product has an image vector, with that product's id."""
    shown = {int(index.product_ids[row]) for row in set(index.image_owner.tolist())}
    return [
        (review, gold)
        for review in split.reviews
        if review.images and (gold := split.gold.get(review.id)) is not None and gold in shown
    ]


def _review_vectors(dataset: Dataset, reviews: Sequence[Review], index: Index) -> list[Vectors]:
    from retrieval.retrievers.retriever import image_vectors, make_queries

    encoder = index.image_encoder
    return image_vectors(make_queries(reviews, dataset.review_image), encoder) if encoder else []


def _pairs(dataset: Dataset, items: Sequence[tuple[Review, int]], index: Index) -> Pairs:
    """A pair for each review image: the image of its product that is most similar before training."""
    from ameli_llm.fusion.contrastive import Pairs

    empty = np.zeros((0, index.image_vectors.shape[1]), dtype=np.float32)
    shots, shown, ids = [empty], [empty], []
    for (_, gold), vectors in zip(
        items, _review_vectors(dataset, [review for review, _ in items], index), strict=True
    ):
        images = index.image_vectors[index.image_owner == index.rows[gold]]
        shots.append(vectors)
        shown.append(images[(vectors @ images.T).argmax(axis=1)])
        ids += [gold] * len(vectors)
    return Pairs(np.concatenate(shots), np.concatenate(shown), np.array(ids, dtype=np.int64))


def _search(dataset: Dataset, items: Sequence[tuple[Review, int]], index: Index) -> ImageSearch:
    """The reviews with a readable image, searched among all products of the index."""
    from ameli_llm.fusion.contrastive import ImageSearch

    found = _review_vectors(dataset, [review for review, _ in items], index)
    usable = [(gold, vectors) for (_, gold), vectors in zip(items, found, strict=True) if len(vectors)]
    if not usable:
        raise AmeliError(
            "No review with a readable image is left for early stopping.",
            hint="The dataset needs more reviews with images, or a dev split that has them.",
        )
    return ImageSearch(
        review=np.concatenate([vectors for _, vectors in usable]),
        review_row=np.repeat(np.arange(len(usable)), [len(vectors) for _, vectors in usable]),
        gold=np.array([gold for gold, _ in usable], dtype=np.int64),
        images=np.asarray(index.image_vectors),
        owner=index.product_ids[index.image_owner],
    )

"""Image vectors of reviews and products, as the image towers take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from ameli_llm.errors import AmeliError
from ameli_llm.types import Review
from eval.baselines.baseline import Floats, Progress
from eval.baselines.material import Material
from eval.baselines.tasks import Fold

if TYPE_CHECKING:
    from ameli_llm.fusion.contrastive import ImageSearch, Pairs

Images: TypeAlias = Literal["all", "first"]
"""All pairs of a review image and a product image count, or that of the first ones only, as in the paper."""

STEP = 64


def chosen(vectors: Floats, images: Images) -> Floats:
    """[images, d], of them the first usable one only when ``images`` says so."""
    return vectors[:1] if images == "first" else vectors


def review_images(
    material: Material, reviews: Sequence[Review], images: Images, progress: Progress | None = None
) -> list[Floats]:
    """[images, d] for each review, none where it has no usable image."""
    found: list[Floats] = []
    for start in range(0, len(reviews), STEP):
        found += material.review_images(reviews[start : start + STEP])
        if progress:
            progress("review images", len(found), len(reviews))
    return [chosen(vectors, images) for vectors in found]


def image_pairs(
    material: Material, fold: Fold, images: Images = "all", progress: Progress | None = None
) -> Pairs:
    """A pair for each review image: the image of its product that is most similar before training.

    Reviews or products without a usable image give none.
    """
    from ameli_llm.fusion.contrastive import Pairs

    empty = np.zeros((0, material.image_dimension), dtype=np.float32)
    shots, shown, ids = [empty], [empty], []
    found = review_images(material, fold.reviews, images, progress)
    for review, vectors in zip(fold.reviews, found, strict=True):
        gold = fold.gold[review.id]
        product = chosen(material.product_images(gold), images)
        if len(product) and len(vectors):
            shots.append(vectors)
            shown.append(product[(vectors @ product.T).argmax(axis=1)])
            ids += [gold] * len(vectors)
    return Pairs(np.concatenate(shots), np.concatenate(shown), np.array(ids, dtype=np.int64))


def image_search(
    material: Material, fold: Fold, images: Images = "all", progress: Progress | None = None
) -> ImageSearch:
    """The reviews with a usable image whose product has one, searched among all products of the index.

    Raises AmeliError when there is none.
    """
    from ameli_llm.fusion.contrastive import ImageSearch

    found = review_images(material, fold.reviews, images, progress)
    golds = [fold.gold[review.id] for review in fold.reviews]
    usable = [
        (gold, vectors)
        for gold, vectors in zip(golds, found, strict=True)
        if len(vectors) and len(material.product_images(gold))
    ]
    if not usable:
        raise no_images(fold)
    index = material.index
    rows = np.arange(len(index.image_owner))
    if images == "first":
        rows = np.unique(index.image_owner, return_index=True)[1]
    return ImageSearch(
        review=np.concatenate([vectors for _, vectors in usable]),
        review_row=np.repeat(np.arange(len(usable)), [len(vectors) for _, vectors in usable]),
        gold=np.array([gold for gold, _ in usable], dtype=np.int64),
        images=np.asarray(index.image_vectors)[rows],
        owner=index.product_ids[index.image_owner[rows]],
    )


def no_images(fold: Fold) -> AmeliError:
    """The error of a fold to choose on that shows nothing."""
    return AmeliError(
        f"No review of {fold.name} with a readable image is left for early stopping.",
        hint="The dataset needs more reviews with images, or a dev split that has them.",
    )


def require_choice(what: str, value: object, choices: object) -> None:
    """Raises AmeliError unless ``value`` is one of the ``choices`` of a Literal type."""
    if value not in get_args(choices):
        raise AmeliError(f"{what} has to be one of {', '.join(get_args(choices))}, not {value!r}.")

"""Image vectors of reviews and products, as the image towers take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.images.pairs import ImageSearch, Numbers, Others, Pairs
from ameli_llm.types import Progress, Review
from eval.baselines.baseline import Floats, Task
from eval.baselines.material import Material

Images: TypeAlias = Literal["all", "first", "selected"]
"""Which images count: all pairs of a review image and a product image; that of the first ones, as in the
paper; or one that is selected before any adapter (official): the review image that is most similar to an
image of the products beside the review, and of each product the image that is most similar to that one.
"""
STEP = 64


def review_images(
    material: Material,
    reviews: Sequence[Review],
    images: Images,
    progress: Progress | None = None,
    beside: Mapping[ReviewId, Sequence[EntityId]] = {},
) -> list[Floats]:
    """[images, d] of those that count for each review, none where it has no usable image.

    ``beside`` are product ids by review, by whose images the review's is selected; where there are none, or
    they have no image, it is the first.
    """
    found = _all_images(material, reviews, progress)
    return [
        _counted(material, vectors, images, beside.get(review.id, ()))
        for review, vectors in zip(reviews, found, strict=True)
    ]


def task_images(
    material: Material, tasks: Sequence[Task], images: Images, progress: Progress | None = None
) -> list[Floats]:
    """As ``review_images``; the candidates of a task are the products beside its review."""
    found = _all_images(material, [task.review for task in tasks], progress)
    return [
        _counted(material, vectors, images, task.entity_ids)
        for task, vectors in zip(tasks, found, strict=True)
    ]


def nearest(vectors: Floats, product: Floats, images: Images) -> Numbers:
    """[n]: for each review image, [n, d], which of the product's images, [m, d], it makes a pair with.

    The first or else the most similar, of equals the earliest.
    """
    if images == "first":
        return np.zeros(len(vectors), dtype=np.int64)
    best: Numbers = (vectors @ product.T).argmax(axis=1)
    return best


def image_pairs(
    material: Material,
    fold: Fold,
    images: Images = "all",
    progress: Progress | None = None,
    beside: Mapping[ReviewId, Sequence[EntityId]] = {},
    others: Mapping[ReviewId, Sequence[EntityId]] = {},
) -> Pairs:
    """A pair for each review image: the image of its product that is most similar before training.

    Reviews or products without a usable image give none. ``beside`` is that of ``review_images``. ``others``
    are products by review whose images are its negatives, in any batch that has the review: of each product
    the image that would make the pair. Raises AmeliError when there are pairs but no such image.
    """
    empty = np.zeros((0, material.image_dimension), dtype=np.float32)
    shots, shown, reviews = [empty], [empty], []
    found = review_images(material, fold.reviews, images, progress, beside)
    for review, vectors in zip(fold.reviews, found, strict=True):
        product = material.product_images(fold.gold[review.id])
        if len(product) and len(vectors):
            shots.append(vectors)
            shown.append(product[nearest(vectors, product, images)])
            reviews += [review.id] * len(vectors)
    photos = np.concatenate(shots)
    return Pairs(
        photos,
        np.concatenate(shown),
        _numbers(material, (fold.gold[review] for review in reviews)),
        _others(material, photos, [others[review] for review in reviews], images)
        if others and reviews
        else None,
    )


def image_search(
    material: Material,
    fold: Fold,
    images: Images = "all",
    progress: Progress | None = None,
    beside: Mapping[ReviewId, Sequence[EntityId]] = {},
) -> ImageSearch:
    """The reviews with a usable image whose product has one, searched among all products of the index.

    ``beside`` is that of ``review_images``. Raises AmeliError when there is none.
    """
    found = review_images(material, fold.reviews, images, progress, beside)
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
        gold=_numbers(material, (gold for gold, _ in usable)),
        images=np.asarray(material.image_vectors)[rows],
        owner=index.image_owner[rows],
        selected=images == "selected",
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


def require_images(images: object, gold_image: bool) -> None:
    """Raises AmeliError unless these two settings are possible together."""
    require_choice("images", images, Images)
    if gold_image and images != "selected":
        raise AmeliError(
            f"gold_image selects images by the gold product, but images is {images!r}.",
            hint="Set images to selected, or leave gold_image.",
        )


def _all_images(material: Material, reviews: Sequence[Review], progress: Progress | None) -> list[Floats]:
    found: list[Floats] = []
    for start in range(0, len(reviews), STEP):
        found += material.review_images(reviews[start : start + STEP])
        if progress:
            progress("review images", len(found), len(reviews))
    return found


def _counted(material: Material, vectors: Floats, images: Images, beside: Sequence[EntityId]) -> Floats:
    """Those of a review's images that count."""
    if images == "all" or len(vectors) < 2:
        return vectors
    shown = [material.product_images(product) for product in beside]
    if images == "first" or not sum(map(len, shown)):
        return vectors[:1]
    best = int((vectors @ np.concatenate(shown).T).max(axis=1).argmax())
    return vectors[best : best + 1]


def _others(
    material: Material, photos: Floats, products: Sequence[Sequence[EntityId]], images: Images
) -> Others:
    """The negatives of each review image, [n, d], among the images of its ``products``."""
    place: dict[tuple[EntityId, int], int] = {}
    rows = np.full((len(photos), max(map(len, products))), -1, dtype=np.int64)
    for pair, several in enumerate(products):
        for column, product in enumerate(several):
            shown = material.product_images(product)
            if len(shown):
                best = int(nearest(photos[pair : pair + 1], shown, images)[0])
                rows[pair, column] = place.setdefault((product, best), len(place))
    if not place:
        raise AmeliError(
            "No candidate beside the gold products of the reviews to train on has a readable image.",
            hint="Use negatives from the batch alone, or an index whose products have images.",
        )
    return Others(
        images=np.stack([material.product_images(product)[image] for product, image in place]),
        owner=_numbers(material, (product for product, _ in place)),
        rows=rows,
    )


def _numbers(material: Material, products: Iterable[EntityId]) -> Numbers:
    """[n]: the rows of the products in the index."""
    return np.array([material.index.rows[product] for product in products], dtype=np.int64)

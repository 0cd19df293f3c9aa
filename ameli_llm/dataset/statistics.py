"""The figures of the paper's Tables 2 and 3 for any dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ameli_llm.dataset.load import Dataset, Split

TOP_CATEGORIES = 10


@dataclass(frozen=True)
class CategoryShare:
    """A leaf category; ``share`` is its part of all products, 0 to 1."""

    category: str
    products: int
    share: float


@dataclass(frozen=True)
class KBStatistics:
    """The knowledge base (Table 2, lower half, and Table 3).

    Images are those that the records name, whether or not the files exist. Categories are whole category
    paths; ``top_categories`` counts leaf names, most products first, ties in alphabetical order. An
    attribute is a line of the specification with a value, of whatever section.
    """

    products: int
    images: int
    categories: int
    images_per_product: float
    attributes: int
    attributes_per_product: float
    with_description: int
    top_categories: tuple[CategoryShare, ...]


@dataclass(frozen=True)
class SplitStatistics:
    """One split (Table 2, upper half).

    ``scored`` reviews have a gold product in the KB, ``nil`` ones are said to have none there, and the rest
    carry no gold. ``words_per_review`` counts header and body.
    """

    name: str
    reviews: int
    images: int
    images_per_review: float
    with_image: int
    words_per_review: float
    scored: int
    nil: int
    gold_products: int


def kb_statistics(dataset: Dataset) -> KBStatistics:
    """Counts over all products; means of an empty KB are 0."""
    products = dataset.products.values()
    leaves = Counter(product.leaf_category or "(none)" for product in products)
    top = sorted(leaves.items(), key=lambda item: (-item[1], item[0]))[:TOP_CATEGORIES]
    images = sum(len(product.images) for product in products)
    attributes = sum(len(product.spec) for product in products)
    return KBStatistics(
        products=len(products),
        images=images,
        categories=len({product.category for product in products if product.category}),
        images_per_product=_mean(images, len(products)),
        attributes=attributes,
        attributes_per_product=_mean(attributes, len(products)),
        with_description=sum(bool(product.description) for product in products),
        top_categories=tuple(CategoryShare(name, n, _mean(n, len(products))) for name, n in top),
    )


def split_statistics(split: Split) -> SplitStatistics:
    """Counts over the reviews of one split; means of an empty split are 0."""
    images = sum(len(review.images) for review in split.reviews)
    words = sum(len(review.header.split()) + len(review.body.split()) for review in split.reviews)
    gold = [product for product in split.gold.values() if product is not None]
    return SplitStatistics(
        name=split.name,
        reviews=len(split.reviews),
        images=images,
        images_per_review=_mean(images, len(split.reviews)),
        with_image=sum(bool(review.images) for review in split.reviews),
        words_per_review=_mean(words, len(split.reviews)),
        scored=len(gold),
        nil=len(split.gold) - len(gold),
        gold_products=len(set(gold)),
    )


def _mean(total: int, count: int) -> float:
    return total / count if count else 0.0

"""The digest of a dataset: changes with everything that its records say, and with nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from ameli_llm.ids import EntityId, ReviewId, id_order
from ameli_llm.types import Product, Review


def products_digest(products: Mapping[EntityId, Product]) -> str:
    """sha256 of the products' content, whatever their order (image names, not their bytes)."""
    return _digest(_product_content(products[key]) for key in sorted(products, key=id_order))


def reviews_digest(reviews: Iterable[Review], gold: Mapping[ReviewId, EntityId | None]) -> str:
    """sha256 of reviews and gold in their order (image names, not their bytes)."""
    return _digest([_review_content(review), gold.get(review.id, "none given")] for review in reviews)


def _digest(contents: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(json.dumps(content, ensure_ascii=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _product_content(product: Product) -> list[object]:
    spec = [(row.section, row.key, row.value) for row in product.spec]
    return [
        *(product.id, product.name, product.category, product.description),
        *(product.features, spec, product.images),
    ]


def _review_content(review: Review) -> list[object]:
    return [review.id, review.header, review.body, review.mention, review.images, review.slices]

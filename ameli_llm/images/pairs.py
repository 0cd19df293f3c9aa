"""Image vectors to train and to choose an adapter on: pairs of one product, and reviews that are searched.

Products are numbers from 0, such as rows of an index: whoever makes the arrays says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.images.adapter import ImageAdapter
from ameli_llm.images.weights import Vectors

Numbers: TypeAlias = npt.NDArray[np.int64]
SEARCH_STEP = 256


@dataclass(frozen=True)
class Others:
    """Further negatives: ``images`` [m, d] of the products of the numbers ``owner`` [m].

    ``rows`` [n, k] are those that pair i brings into its batch, -1 for none.
    """

    images: Vectors
    owner: Numbers
    rows: Numbers


@dataclass(frozen=True)
class Pairs:
    """Positive pairs: rows i of ``review`` [n, d] and ``entity`` [n, d] show the product ``product[i]``.

    The entities of a batch are each other's negatives, and so are all ``others`` of its pairs for each of
    them (official: the batch's candidates).
    """

    review: Vectors
    entity: Vectors
    product: Numbers
    others: Others | None = None


@dataclass(frozen=True)
class ImageSearch:
    """Reviews with known products and the product images among which they are searched.

    ``review`` [q, d] with ``review_row`` [q], the review that each image belongs to, counted from 0;
    ``gold`` holds a product per review; ``images`` [m, d] with ``owner`` [m], their products. Of each
    product all images count, or where ``selected`` says so only that which is most similar to the review's
    before any adapter.
    """

    review: Vectors
    review_row: Numbers
    gold: Numbers
    images: Vectors
    owner: Numbers
    selected: bool = False


def recall_at_1(adapter: ImageAdapter, search: ImageSearch) -> float:
    """Share of reviews whose product has the most similar image; the maximum over image pairs counts.

    0 to 1. Where n products are equally similar, each counts 1/n.
    """
    order = np.argsort(search.owner, kind="stable")
    owners, starts = np.unique(search.owner[order], return_index=True)
    counts = np.diff(np.append(starts, len(order)))
    plain = search.images[order]
    images = adapter.entity(plain)
    queries = adapter.review(search.review)
    best = np.full((len(search.gold), len(owners)), -np.inf, dtype=np.float32)
    for start in range(0, len(queries), SEARCH_STEP):
        part = slice(start, start + SEARCH_STEP)
        similarity = queries[part] @ images.T
        if search.selected:
            before = search.review[part] @ plain.T
            nearest = np.maximum.reduceat(before, starts, axis=1)
            similarity[before < np.repeat(nearest, counts, axis=1)] = -np.inf
        np.maximum.at(best, search.review_row[part], np.maximum.reduceat(similarity, starts, axis=1))
    first = best == best.max(axis=1, keepdims=True)
    hit = (first & (owners == search.gold[:, None])).any(axis=1)
    return float(np.mean(hit / first.sum(axis=1)))

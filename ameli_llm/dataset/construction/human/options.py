"""The products that a person chooses among: gold, and those most like it (paper, section 3.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.construction.similarity import ImageVectors, TextVectors, Vectors
from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.images import ImageProblem
from ameli_llm.ids import EntityId
from ameli_llm.types import Product, Progress

CHUNK = 512
"""Products that are compared at a time."""

Scores = npt.NDArray[np.float32]


class _Best:
    """The ``most`` best rows of each query, seen a block of rows at a time; ties go to the first."""

    def __init__(self, queries: int, most: int) -> None:
        self._scores = np.full((queries, most), -np.inf, dtype=np.float32)
        self._rows = np.full((queries, most), -1, dtype=np.int64)

    def see(self, scores: Scores, rows: Sequence[int]) -> None:
        """Takes a block [queries, rows] into account; -inf is no row."""
        block = np.broadcast_to(np.asarray(rows, dtype=np.int64), scores.shape)
        every = np.concatenate([self._scores, scores], axis=1)
        numbers = np.concatenate([self._rows, block], axis=1)
        order = np.argsort(-every, axis=1, kind="stable")[:, : self._scores.shape[1]]
        self._scores = np.take_along_axis(every, order, axis=1)
        self._rows = np.take_along_axis(numbers, order, axis=1)

    def rows(self) -> list[list[int]]:
        """The best rows of each query, best first."""
        known = np.isfinite(self._scores)
        return [[int(row) for row in rows[good]] for rows, good in zip(self._rows, known, strict=True)]


def similar_titles(
    dataset: Dataset, golds: Sequence[EntityId], encoder: TextVectors, most: int, progress: Progress
) -> dict[EntityId, list[EntityId]]:
    """For each gold product the ``most`` others with the greatest cosine of titles."""
    products = list(dataset.products.values())
    place = {product.id: row for row, product in enumerate(products)}
    queries = encoder.encode([dataset.products[gold].name for gold in golds])
    best = _Best(len(golds), most)
    for rows in _chunks(len(products)):
        scores = queries @ encoder.encode([products[row].name for row in rows]).T
        _hide_gold(scores, [place[gold] for gold in golds], rows[0])
        best.see(scores, rows)
        progress("titles", rows[-1] + 1, len(products))
    return _by_gold(golds, best, products)


def similar_images(
    dataset: Dataset, golds: Sequence[EntityId], encoder: ImageVectors, most: int, progress: Progress
) -> dict[EntityId, list[EntityId]]:
    """For each gold product the ``most`` others with the greatest cosine over all pairs of their images.

    A gold product without a usable image has none.
    """
    products = list(dataset.products.values())
    place = {product.id: row for row, product in enumerate(products)}
    queries, of_query = _vectors(dataset, [dataset.products[gold] for gold in golds], encoder)
    best = _Best(len(golds), most)
    for rows in _chunks(len(products)):
        vectors, of_image = _vectors(dataset, [products[row] for row in rows], encoder)
        scores = np.full((len(golds), len(rows)), -np.inf, dtype=np.float32)
        if len(queries) and len(vectors):
            np.maximum.at(scores, (of_query[:, None], of_image[None, :]), queries @ vectors.T)
        _hide_gold(scores, [place[gold] for gold in golds], rows[0])
        best.see(scores, rows)
        progress("images", rows[-1] + 1, len(products))
    return _by_gold(golds, best, products)


def product_images(dataset: Dataset, product: Product) -> list[Path]:
    """The files of a product's images that are there."""
    files = (dataset.product_image(name) for name in product.images)
    return [file for file in files if file is not None]


def _vectors(
    dataset: Dataset, products: Sequence[Product], encoder: ImageVectors
) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Vectors of all images of the products, and the place of each one's product."""
    paths, owners = [], []
    for place, product in enumerate(products):
        for file in product_images(dataset, product):
            paths.append(file)
            owners.append(place)
    found = encoder.encode_images(paths)
    good = [(v, o) for v, o in zip(found, owners, strict=True) if not isinstance(v, ImageProblem)]
    if not good:
        return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.int64)
    return np.stack([v for v, _ in good]), np.asarray([o for _, o in good], dtype=np.int64)


def _chunks(number: int) -> Iterator[list[int]]:
    for start in range(0, number, CHUNK):
        yield list(range(start, min(start + CHUNK, number)))


def _hide_gold(scores: Scores, gold_rows: Sequence[int], first: int) -> None:
    for query, row in enumerate(gold_rows):
        if first <= row < first + scores.shape[1]:
            scores[query, row - first] = -np.inf


def _by_gold(
    golds: Sequence[EntityId], best: _Best, products: Sequence[Product]
) -> dict[EntityId, list[EntityId]]:
    return {gold: [products[row].id for row in rows] for gold, rows in zip(golds, best.rows(), strict=True)}

"""Greatest cosine over all pairs of a review image and a product image (paper, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ameli_llm.config import RetrievalConfig
from ameli_llm.images.adapter import ImageAdapter
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, Scores, image_vectors


class ImageRetriever:
    """No opinion on a review without a usable image, nor on a product without one."""

    def __init__(self, index: Index, adapter: ImageAdapter | None = None) -> None:
        self._index = index
        self._adapter = adapter
        self._products, self._starts = np.unique(index.image_owner, return_index=True)
        self._vectors = adapter.entity(index.image_vectors) if adapter else index.image_vectors

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N] cosines."""
        scores = np.full((len(queries), len(self._index)), np.nan, dtype=np.float32)
        encoder = self._index.image_encoder
        if encoder is None or not len(self._products):
            return scores
        for row, images in zip(scores, image_vectors(queries, encoder), strict=True):
            if len(images):
                adapted = self._adapter.review(images) if self._adapter else images
                best = (adapted @ self._vectors.T).max(axis=0)
                row[self._products] = np.maximum.reduceat(best, self._starts)
        return scores


def create(index: Index, config: RetrievalConfig) -> ImageRetriever:
    """The retriever over the index's image vectors, through the adapter that the configuration names.

    Raises AmeliError when the adapter was trained on vectors of another encoder.
    """
    stamp = index.manifest.image
    if not config.image_adapter or stamp is None:
        return ImageRetriever(index)
    adapter = ImageAdapter.load(Path(config.image_adapter))
    return ImageRetriever(index, adapter.require(stamp.dimension, str(stamp)))

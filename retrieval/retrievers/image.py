"""Greatest cosine over all pairs of a review image and a product image (paper, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ameli_llm.config import RetrievalConfig
from ameli_llm.images.adapter import ImageAdapter
from retrieval.index import Index
from retrieval.manifest import EncoderStamp
from retrieval.retrievers.retriever import Query, Scores, image_vectors


class ImageRetriever:
    """By one encoder of the index, "" for the first. No opinion on a review or product without an image."""

    def __init__(self, index: Index, adapter: ImageAdapter | None = None, encoder: str = "") -> None:
        self._index = index
        self._encoder = encoder
        self._adapter = adapter
        self._products, self._starts = np.unique(index.image_owner, return_index=True)
        vectors = index.image_vectors(encoder)
        self._vectors = adapter.entity(vectors) if adapter else vectors

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N] cosines."""
        scores = np.full((len(queries), len(self._index)), np.nan, dtype=np.float32)
        if not len(self._products) or not any(query.image_paths for query in queries):
            return scores  # without the encoder, which takes time to load
        encoder = self._index.image_encoder(self._encoder)
        if encoder is None:
            return scores
        for row, images in zip(scores, image_vectors(queries, encoder), strict=True):
            if len(images):
                adapted = self._adapter.review(images) if self._adapter else images
                best = (adapted @ self._vectors.T).max(axis=0)
                row[self._products] = np.maximum.reduceat(best, self._starts)
        return scores


def create(index: Index, config: RetrievalConfig, encoder: str = "") -> ImageRetriever:
    """The retriever over the vectors of one encoder of the index, "" for the first.

    They go through the adapter that the configuration names, if it was trained on vectors of that encoder.
    Raises AmeliError when it was trained on those of no encoder of the index.
    """
    adapted, adapter = adapter_of(index, config)
    stamp = index.manifest.image(encoder)
    return ImageRetriever(index, adapter if stamp and stamp == adapted else None, encoder)


def adapter_of(
    index: Index, config: RetrievalConfig
) -> tuple[EncoderStamp, ImageAdapter] | tuple[None, None]:
    """The encoder of the index that the configured adapter was trained on, and the adapter.

    Raises AmeliError when there is no such encoder.
    """
    stamps = index.manifest.image_encoders
    if not config.image_adapter or not stamps:
        return None, None
    adapter = ImageAdapter.load(Path(config.image_adapter))
    named = adapter.encoder.partition(" ")[0]
    sized = [stamp for stamp in stamps if stamp.dimension == adapter.dimension]
    stamp = index.manifest.image(named) if named else (*sized, stamps[0])[0]
    stamp = stamp or stamps[0]
    return stamp, adapter.require(stamp.dimension, str(stamp))

"""How far a product's pictures stand out for the photos of a review: cosines in standard deviations.

The cosine of a product is the greatest over all pairs of a review image and a product image (paper, section
4.3). How far cosines spread depends on the encoder and on the shop; what they are worth, on how far the best
stand out from the rest. So that one weight does for all, they are standardised over the products of the
knowledge base, review by review. The order of products, all that the paper's retrieval by image uses, stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RetrievalConfig
from ameli_llm.images.adapter import ImageAdapter
from retrieval.index import Index
from retrieval.manifest import EncoderStamp
from retrieval.retrievers.retriever import Query, Scores, image_vectors

_SPREAD, _PRODUCTS = 0.12, 20
"""The standard deviation of cosines before any is seen, and how many products that counts as.

A shop of three products says little about the spread; pictures that are all the same have none.
"""


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
        """[n, N] standardised cosines: 0 is the mean of the products that have an image."""
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
                row[self._products] = standardised(np.maximum.reduceat(best, self._starts))
        return scores


def standardised(cosines: npt.ArrayLike) -> Scores:
    """The cosines of [m] products, less their mean, in standard deviations."""
    away = np.asarray(cosines, dtype=np.float64)
    away = away - away.mean()
    variance = (away @ away + _PRODUCTS * _SPREAD**2) / (len(away) + _PRODUCTS)
    scores: Scores = (away / np.sqrt(variance)).astype(np.float32)
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

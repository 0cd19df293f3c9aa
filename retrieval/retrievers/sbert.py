"""Cosine of the query text and the product text under the index's text encoder (paper, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ameli_llm.config import RetrievalConfig
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, Scores, text_vectors


class SBERTRetriever:
    """Scores are cosines; with ``approximate`` products outside Chroma's ``pool`` have its last score."""

    def __init__(self, index: Index, approximate: bool, pool: int) -> None:
        self._index = index
        self._approximate = approximate
        self._pool = pool

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N] cosines."""
        vectors = text_vectors(queries, self._index.text_encoder)
        if not self._approximate:
            return np.asarray(vectors @ self._index.text_vectors.T, dtype=np.float32)
        scores = np.zeros((len(queries), len(self._index)), dtype=np.float32)
        nearest = self._index.nearest_texts(vectors, self._pool, exact=False)
        for row, (products, found) in zip(scores, nearest, strict=True):
            row[:] = found.min(initial=1.0)
            row[products] = found
        return scores


def create(index: Index, config: RetrievalConfig) -> SBERTRetriever:
    """Exact or, with ``search: chroma``, Chroma's HNSW."""
    return SBERTRetriever(index, config.search == "chroma", config.pool)

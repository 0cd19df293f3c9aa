"""BM25 of the review's header alone over the product texts, as far as the review names a product at all.

The header of a listing is the product's name, that of a review says what the buyer thinks of it. The scores
of a review are multiplied by the square of its best score by "title", which tells the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ameli_llm.config import RetrievalConfig
from retrieval.index import Index
from retrieval.retrievers import bm25, title
from retrieval.retrievers.retriever import Query, Retriever, Scores


@dataclass(frozen=True)
class HeaderRetriever:
    """``words`` scores the header, ``names`` how well any product's name fits the review."""

    words: Retriever
    names: Retriever

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N], 0 to 1; all zeros for a header that shares no term with the knowledge base."""
        named: Scores = self.names.score(queries).max(axis=1, initial=0.0, keepdims=True)
        scores: Scores = self.words.score(queries) * named**2
        return scores


def create(index: Index, config: RetrievalConfig) -> HeaderRetriever:
    """The retriever over the same tables as "bm25"."""
    words = bm25.create(index, config, text=lambda query: query.review.header)
    return HeaderRetriever(words, title.create(index, config))

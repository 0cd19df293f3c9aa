"""BM25 of the review's header alone over the product texts: a header names the product, a body its use."""

from __future__ import annotations

from ameli_llm.config import RetrievalConfig
from retrieval.index import Index
from retrieval.retrievers import bm25
from retrieval.retrievers.retriever import Retriever


def create(index: Index, config: RetrievalConfig) -> Retriever:
    """The retriever over the same tables as "bm25"."""
    return bm25.create(index, config, text=lambda query: query.review.header)

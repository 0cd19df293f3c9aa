"""BM25 (k1 1.5, b 0.75) of query text and product text, as a share of the most that the query could score."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import MissingPackageError
from retrieval.analysis import terms
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, Retriever, Scores, Wordless

NAME = "bm25"


class BM25Retriever:
    """A score is 0 to 1: BM25 divided by the sum of the most that each query term gives to any product.

    ``text`` says what of a query is searched for. Its tables are read, and bm25s imported, when it is first
    asked.
    """

    def __init__(self, folder: Path, products: int, text: Callable[[Query], str]) -> None:
        self._folder, self._products, self._text = folder, products, text

    @cached_property
    def _bm25(self) -> Any:
        return _library().BM25.load(self._folder, mmap=True, show_progress=False)

    @cached_property
    def _most(self) -> npt.NDArray[np.float32]:
        starts, gains = self._bm25.scores["indptr"], np.asarray(self._bm25.scores["data"])
        return _greatest(gains, np.asarray(starts))

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N]; all zeros for a query that shares no term with the knowledge base."""
        scores = np.zeros((len(queries), self._products), dtype=np.float32)
        for row, query in zip(scores, queries, strict=True):
            vocabulary = self._bm25.vocab_dict
            ids = [vocabulary[term] for term in terms(self._text(query)) if term in vocabulary]
            bound = float(self._most[ids].sum()) if ids else 0.0
            if bound > 0:
                row[:] = self._bm25.get_scores(ids) / bound
        return scores


def create(
    index: Index, config: RetrievalConfig, text: Callable[[Query], str] = attrgetter("text")
) -> Retriever:
    """The retriever over the index's product texts; its tables are made once and kept with the index."""
    if not any(terms(entry.text) for entry in index.entries):
        return Wordless(len(index))
    folder = index.derived(NAME, lambda place: _write([entry.text for entry in index.entries], place))
    return BM25Retriever(folder, len(index), text)


def _write(texts: list[str], place: Path) -> None:
    numbers: dict[str, int] = {}
    ids = [array("i", [numbers.setdefault(term, len(numbers)) for term in terms(text)]) for text in texts]
    bm25 = _library().BM25(k1=1.5, b=0.75)
    bm25.index((ids, numbers), show_progress=False)
    bm25.save(place, show_progress=False)


def _greatest(gains: npt.NDArray[Any], starts: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The greatest gain of each term; terms of no product have 0."""
    most = np.zeros(len(starts) - 1, dtype=np.float32)
    used = np.flatnonzero(np.diff(starts) > 0)
    if len(used):
        most[used] = np.maximum.reduceat(gains, starts[used])
    return most


def _library() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise MissingPackageError("bm25s", "retrieval") from error
    return bm25s

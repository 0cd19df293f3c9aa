"""Cosine of the TF-IDF vectors of query and product text: unlike BM25, it charges for what is not shared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import MissingPackageError
from retrieval.analysis import terms
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, Retriever, Scores, Wordless
from retrieval.sparse_files import load_rows, save_rows

if TYPE_CHECKING:
    from scipy import sparse

NAME = "tfidf"
TABLES = "tfidf-by-term"


class TFIDFRetriever:
    """Scores are cosines, 0 to 1; term frequencies enter as 1 + log tf (Salton and Buckley 1988).

    Its tables are read, those of the products mapped into memory, and scikit-learn imported, when it is first
    asked.
    """

    def __init__(self, folder: Path, products: int) -> None:
        self._folder, self._number = folder, products

    @cached_property
    def _vectorizer(self) -> Any:
        vocabulary: list[str] = json.loads((self._folder / "vocabulary.json").read_text(encoding="utf-8"))
        vectorizer = _vectorizer(vocabulary={term: column for column, term in enumerate(vocabulary)})
        vectorizer.idf_ = np.load(self._folder / "idf.npy", allow_pickle=False)
        return vectorizer

    @cached_property
    def _products(self) -> sparse.csr_array:
        return load_rows(self._folder, "products", self._number)

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N]; 0 where no term is shared."""
        if not queries:
            return np.zeros((0, self._number), dtype=np.float32)
        vectors = self._vectorizer.transform([query.text for query in queries])
        return np.asarray((vectors @ self._products).toarray(), dtype=np.float32)


def create(index: Index, config: RetrievalConfig) -> Retriever:
    """The retriever over the index's product texts; its tables are made once and kept with the index."""
    if not any(terms(entry.text) for entry in index.entries):
        return Wordless(len(index))
    folder = index.derived(TABLES, lambda place: _write([entry.text for entry in index.entries], place))
    return TFIDFRetriever(folder, len(index))


def _write(texts: list[str], place: Path) -> None:
    from scipy import sparse

    vectorizer = _vectorizer()
    products = vectorizer.fit_transform(texts)
    save_rows(place, "products", sparse.csr_array(products.T, dtype=np.float32))
    np.save(place / "idf.npy", vectorizer.idf_, allow_pickle=False)
    (place / "vocabulary.json").write_text(
        json.dumps(list(vectorizer.get_feature_names_out())), encoding="utf-8"
    )


def _vectorizer(**options: Any) -> Any:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "retrieval") from error
    return TfidfVectorizer(analyzer=terms, sublinear_tf=True, dtype=np.float32, **options)

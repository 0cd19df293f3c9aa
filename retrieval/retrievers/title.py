"""How well the words of the review and the product's name cover each other, rare words counting more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ameli_llm.config import RetrievalConfig
from retrieval.analysis import terms
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, Scores


class TitleRetriever:
    """A score is 0 to 1, the harmonic mean of two shares of inverse-document-frequency weight.

    Recall is the share of the name's weight that the whole review contains, precision the share of the
    weight of header and mention that the name contains: a body may speak of much else, a header rarely does.
    """

    def __init__(self, names: Sequence[str]) -> None:
        found = [set(terms(name)) for name in names]
        self._vocabulary = {term: row for row, term in enumerate(sorted(set().union(*found)))}
        names_by_term = self._incidence(found).T.tocsr()
        documents = np.diff(names_by_term.indptr)
        self._weight = np.log1p((len(names) - documents + 0.5) / (documents + 0.5))
        self._unknown_weight = float(np.log1p((len(names) + 0.5) / 0.5))
        self._weighted = sparse.diags_array(self._weight) @ names_by_term
        self._name_weight = self._weighted.sum(axis=0)

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N]; 0 where no word is shared."""
        leads = [set(terms(f"{query.review.header} {query.review.mention}")) for query in queries]
        wholes = [set(terms(query.text)) | lead for query, lead in zip(queries, leads, strict=True)]
        lead_weight = np.array([math.fsum(map(self._weight_of, lead)) for lead in leads])
        recall = self._shared(wholes) / np.maximum(self._name_weight, 1e-9)
        precision = self._shared(leads) / np.maximum(lead_weight, 1e-9)[:, None]
        both = 2 * recall * precision / np.maximum(recall + precision, 1e-9)
        return np.asarray(both, dtype=np.float32)

    def _shared(self, texts: Sequence[set[str]]) -> npt.NDArray[np.float64]:
        """[n, N]: weight of the terms that each text has in common with each name."""
        shared: npt.NDArray[np.float64] = (self._incidence(texts) @ self._weighted).toarray()
        return shared

    def _weight_of(self, term: str) -> float:
        column = self._vocabulary.get(term)
        return self._unknown_weight if column is None else float(self._weight[column])

    def _incidence(self, texts: Iterable[set[str]]) -> sparse.csr_array:
        """[n, terms]: 1 where a text has a term of the vocabulary."""
        rows = [sorted(self._vocabulary[term] for term in text if term in self._vocabulary) for text in texts]
        columns = np.array([column for row in rows for column in row], dtype=np.int64)
        starts = np.cumsum([0] + [len(row) for row in rows])
        return sparse.csr_array(
            (np.ones(len(columns)), columns, starts), shape=(len(rows), len(self._vocabulary))
        )


def create(index: Index, config: RetrievalConfig) -> TitleRetriever:
    """The retriever over the index's product names."""
    return TitleRetriever([entry.name for entry in index.entries])

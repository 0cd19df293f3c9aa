"""How well the words of the review and the product's name cover each other, rare words counting more."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RetrievalConfig
from retrieval.analysis import terms
from retrieval.index import Index
from retrieval.retrievers.retriever import Query, Scores
from retrieval.sparse_files import load_rows, save_rows

if TYPE_CHECKING:
    from scipy import sparse

Weights = npt.NDArray[np.float64]
NAME = "title"


class TitleRetriever:
    """A score is 0 to 1, the harmonic mean of two shares of inverse-document-frequency weight.

    Recall is the share of the name's weight that the whole review contains, precision the share of the
    weight of header and mention that the name contains: a body may speak of much else, a header rarely does.
    Its tables are read when it is first asked, those of the names mapped into memory.
    """

    def __init__(self, folder: Path, names: int) -> None:
        self._folder, self._names = folder, names
        self._unknown_weight = float(np.log1p((names + 0.5) / 0.5))

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        vocabulary: list[str] = json.loads((self._folder / "vocabulary.json").read_text(encoding="utf-8"))
        return {term: row for row, term in enumerate(vocabulary)}

    @cached_property
    def _weight(self) -> Weights:
        return np.asarray(np.load(self._folder / "weight.npy", allow_pickle=False))

    @cached_property
    def _name_weight(self) -> Weights:
        return np.asarray(np.load(self._folder / "name_weight.npy", mmap_mode="r", allow_pickle=False))

    @cached_property
    def _weighted(self) -> sparse.csr_array:
        return load_rows(self._folder, "names", self._names)

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N]; 0 where no word is shared."""
        leads = [set(terms(f"{query.review.header} {query.review.mention}")) for query in queries]
        wholes = [set(terms(query.text)) | lead for query, lead in zip(queries, leads, strict=True)]
        lead_weight = np.array([math.fsum(map(self._weight_of, lead)) for lead in leads])
        recall = self._shared(wholes) / np.maximum(self._name_weight, 1e-9)
        precision = self._shared(leads) / np.maximum(lead_weight, 1e-9)[:, None]
        both = 2 * recall * precision / np.maximum(recall + precision, 1e-9)
        return np.asarray(both, dtype=np.float32)

    def _shared(self, texts: Sequence[set[str]]) -> Weights:
        """[n, N]: weight of the terms that each text has in common with each name."""
        known = [[self._vocabulary[term] for term in text if term in self._vocabulary] for text in texts]
        shared: Weights = (_incidence(known, len(self._vocabulary)) @ self._weighted).toarray()
        return shared

    def _weight_of(self, term: str) -> float:
        column = self._vocabulary.get(term)
        return self._unknown_weight if column is None else float(self._weight[column])


def create(index: Index, config: RetrievalConfig) -> TitleRetriever:
    """The retriever over the index's product names; its tables are made once and kept with the index."""
    folder = index.derived(NAME, lambda place: _write([entry.name for entry in index.entries], place))
    return TitleRetriever(folder, len(index))


def _write(names: Sequence[str], place: Path) -> None:
    """Of each term its weight, and the weights of the terms of each name, [terms, names]."""
    from scipy import sparse

    numbers: dict[str, int] = {}
    own = (set(terms(name)) for name in names)
    found = [array("i", [numbers.setdefault(term, len(numbers)) for term in one]) for one in own]
    vocabulary = sorted(numbers)
    place_of = np.empty(len(vocabulary), dtype=np.int64)
    place_of[[numbers[term] for term in vocabulary]] = np.arange(len(vocabulary))
    names_by_term = _incidence((place_of[list(one)] for one in found), len(vocabulary)).T.tocsr()
    documents = np.diff(names_by_term.indptr)
    weight = np.log1p((len(names) - documents + 0.5) / (documents + 0.5))
    weighted = sparse.csr_array(sparse.diags_array(weight) @ names_by_term)
    save_rows(place, "names", weighted)
    np.save(place / "weight.npy", weight, allow_pickle=False)
    np.save(place / "name_weight.npy", weighted.sum(axis=0), allow_pickle=False)
    (place / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")


def _incidence(rows: Iterable[Iterable[int]], width: int) -> sparse.csr_array:
    """[rows, width]: 1 in the columns that each row names."""
    from scipy import sparse

    columns, starts = array("i"), array("q", [0])
    for row in rows:
        columns.extend(sorted(row))
        starts.append(len(columns))
    held = np.frombuffer(columns, dtype=np.int32) if columns else np.zeros(0, np.int32)
    ones = np.ones(len(held))
    return sparse.csr_array((ones, held, np.array(starts)), shape=(len(starts) - 1, width))

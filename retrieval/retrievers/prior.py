"""P(e|m) and P(c|m) of the mention as a score (paper, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ameli_llm.config import RetrievalConfig
from retrieval.index import Index
from retrieval.priors import Priors, open_priors
from retrieval.retrievers.retriever import Query, Scores


class PriorRetriever:
    """A score is 0 to 1: the mean of both probabilities, each divided by its greatest for the mention."""

    def __init__(self, priors: Priors) -> None:
        self._priors = priors

    def score(self, queries: Sequence[Query]) -> Scores:
        """[n, N]; NaN for a review whose mention is unknown."""
        scores = np.full((len(queries), len(self._priors.categories)), np.nan, dtype=np.float32)
        for row, query in zip(scores, queries, strict=True):
            entity = self._priors.entity(query.review.mention)
            category = self._priors.category(query.review.mention)
            if entity is not None and category is not None:
                row[:] = (entity / entity.max() + category / category.max()) / 2
        return scores


def create(index: Index, config: RetrievalConfig) -> PriorRetriever:
    """The retriever over the chunks of the index's titles and categories."""
    return PriorRetriever(open_priors(index))

"""Candidates of a review: the best products by a weighted sum of the retrievers' scores."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.fusion.missing import filled
from ameli_llm.image_encoders import IMAGE, names
from ameli_llm.ties import ranked
from ameli_llm.types import Candidate, Review
from retrieval import cross_encoder
from retrieval.cross_encoder import CrossEncoderReranker
from retrieval.encoders import ENCODERS
from retrieval.index import Index
from retrieval.priors import Priors, open_priors
from retrieval.retrievers import RETRIEVERS, image
from retrieval.retrievers.retriever import Query, Retriever, Scores, make_queries
from retrieval.search import top_k

PRIOR = "prior"
TEXT = "sbert"
_MOST_SCORES = 1 << 22
"""Of each retriever that are in memory at once: of more products, fewer reviews are looked at together."""


class CandidateFinder:
    """Runs the retrievers that ``config.weights`` names and sums their scores (paper, section 4.3).

    Each image encoder of the index is a retriever of its own name; weights of encoders that are not
    configured do nothing. A candidate's score "image" is the mean of the encoders' by these weights.

    ``prior: score`` adds the retriever "prior" and ``cross_encoder`` a score of that name, both with weight
    1 unless ``weights`` names them. ``prior: filter`` drops candidates with P(e|m) = 0 or P(c|m) = 0 after
    the ranking, but not for an unknown mention or when nothing would be left.
    """

    def __init__(self, index: Index, dataset: Dataset, config: RetrievalConfig) -> None:
        self.index = index
        self.config = config
        self._dataset = dataset
        wanted = [*config.by_retriever]
        if config.prior == "score" and PRIOR not in wanted:
            wanted.append(PRIOR)
        self.retrievers: dict[str, Retriever] = {
            name: _retriever(name, index, config)
            for name in wanted
            if name != cross_encoder.NAME and not _is_idle(name, config)
        }
        if not self.retrievers:
            raise AmeliError(
                f"No retriever is left of the weights of {', '.join(config.weights)}.",
                hint="Give a weight to one that is configured, for instance sbert.",
            )
        self._priors: Priors | None = open_priors(index) if config.prior == "filter" else None
        self._reranker = (
            CrossEncoderReranker(index, config.cross_encoder, config.pool) if config.cross_encoder else None
        )

    def with_weights(self, weights: Mapping[str, float]) -> CandidateFinder:
        """A finder of the same retrievers, summed with other weights; those not named here are left out."""
        other = copy.copy(self)
        other.config = self.config.model_copy(update={"weights": dict(weights)})
        other.retrievers = {name: self.retrievers[name] for name in other.config.by_retriever}
        return other

    def queries(self, reviews: Sequence[Review]) -> list[Query]:
        """A query per review; give the same ones to ``scores`` and ``rank`` to encode nothing twice."""
        return make_queries(reviews, self._dataset.review_image)

    def find(self, reviews: Sequence[Review], depth: int) -> list[list[Candidate]]:
        """Up to ``depth`` candidates per review, best first, ties by ``ties.chance``."""
        step = max(1, _MOST_SCORES // max(1, len(self.index)))
        parts = (reviews[start : start + step] for start in range(0, len(reviews), step))
        return [found for part in parts for found in self.rank(part, self.scores(part), depth)]

    def scores(self, reviews: Sequence[Review]) -> dict[str, Scores]:
        """Each retriever's scores, [n, N] over the products in index order, NaN where it has no opinion."""
        return self.score_queries(self.queries(reviews))

    def score_queries(self, queries: Sequence[Query]) -> dict[str, Scores]:
        """As ``scores``, for queries that the caller keeps."""
        scores = {name: retriever.score(queries) for name, retriever in self.retrievers.items()}
        if self._reranker:
            text = (
                scores[TEXT]
                if TEXT in scores
                else RETRIEVERS.load(TEXT)(self.index, self.config).score(queries)
            )
            scores[cross_encoder.NAME] = self._reranker.score(queries, text)
        return scores

    def rank(
        self, reviews: Sequence[Review], scores: Mapping[str, Scores], depth: int
    ) -> list[list[Candidate]]:
        """The candidates that ``find`` gives for these reviews, whose ``scores`` are at hand."""
        fused = fuse(scores, self.config.by_retriever, self.config.pool)
        if self._priors:
            filter_by_prior(fused, self._priors, [review.mention for review in reviews])
        ranking = top_k(fused, depth)
        return [self._candidates(reviews[row], row, fused, ranking, scores) for row in range(len(fused))]

    def _candidates(
        self, review: Review, row: int, fused: Scores, ranking: np.ndarray, scores: Mapping[str, Scores]
    ) -> list[Candidate]:
        found, shares = [], self.config.image_weights
        for column in ranking[row]:
            if np.isneginf(fused[row, column]):
                continue
            own = {
                name: float(matrix[row, column])
                for name, matrix in scores.items()
                if not np.isnan(matrix[row, column])
            }
            shown = image_score(own, shares)
            own |= {IMAGE: shown} if shown is not None else {}
            found.append(
                Candidate(self.index.product_ids[column], score=float(fused[row, column]), scores=own)
            )
        order = ranked(review.id, [c.entity_id for c in found], [c.score for c in found])
        return [found[position] for position in order]


def image_score(scores: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    """The mean of the image encoders' scores by their ``weights``; None where none has a score.

    A plain mean where the weights add up to nothing. For one encoder it is its score.
    """
    there = {name: weight for name, weight in weights.items() if name in scores}
    if len(there) < 2:
        return next((scores[name] for name in there), None)
    total = math.fsum(there.values())
    if total <= 0:
        return math.fsum(scores[name] for name in there) / len(there)
    return math.fsum(weight * scores[name] for name, weight in there.items()) / total


def _retriever(name: str, index: Index, config: RetrievalConfig) -> Retriever:
    if name in names(config.image_encoders):
        return image.create(index, config, name)
    made: Retriever = RETRIEVERS.load(name)(index, config)
    return made


def _is_idle(name: str, config: RetrievalConfig) -> bool:
    """Whether it is an image encoder that is not configured."""
    return name in ENCODERS.names() and name not in (*names(config.image_encoders), *RETRIEVERS.names())


def fuse(scores: Mapping[str, Scores], weights: Mapping[str, float], pool: int) -> Scores:
    """The weighted sum [n, N] over the union of each retriever's ``pool`` best; -inf outside the union.

    A retriever without any opinion on a review adds 0 to all its candidates; a product on which it has
    none, where it has one on others, gets the review's mean score of that retriever.
    """
    total: Scores | None = None
    union: np.ndarray | None = None
    for name, matrix in scores.items():
        weighted = weights.get(name, 1.0) * filled(matrix)
        inside = _best(matrix, pool)
        total = weighted if total is None else total + weighted
        union = inside if union is None else union | inside
    if total is None or union is None:
        raise ValueError("no scores to fuse")
    return np.where(union, total, -np.inf).astype(np.float32)


def filter_by_prior(fused: Scores, priors: Priors, mentions: Sequence[str]) -> None:
    """Sets products that the mention cannot mean to -inf, in place; exceptions as in ``CandidateFinder``."""
    for row, mention in zip(fused, mentions, strict=True):
        keep = priors.possible(mention)
        if keep is not None and (keep & ~np.isneginf(row)).any():
            row[~keep] = -np.inf


def _best(matrix: Scores, pool: int) -> np.ndarray:
    """True at the ``pool`` best scores of each row; NaN is never among them."""
    if pool >= matrix.shape[1]:
        return ~np.isnan(matrix)
    inside = np.zeros(matrix.shape, dtype=bool)
    np.put_along_axis(inside, top_k(matrix, pool), True, axis=1)
    inside &= ~np.isnan(matrix)
    return inside

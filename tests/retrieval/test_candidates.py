from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import chisquare

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.types import Review
from retrieval.candidates import CandidateFinder, filled, fuse
from retrieval.index import Index
from retrieval.retrievers import RETRIEVERS
from retrieval.retrievers.retriever import Query, Scores
from retrieval.retrievers.title import TitleRetriever

NAN, OUT = float("nan"), float("-inf")


@pytest.fixture
def index(index_with_encoders: Index) -> Index:
    return index_with_encoders


def matrix(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize(
    ("row", "expected"),
    [([1, 3], [1, 3]), ([1, NAN, 3], [1, 2, 3]), ([NAN, NAN], [0, 0])],
)
def test_no_opinion_counts_as_the_mean_or_nothing(row: list[float], expected: list[float]) -> None:
    assert filled(matrix(row)).tolist() == [expected]


@pytest.mark.parametrize(
    ("a", "b", "pool", "expected"),
    [
        ([1, 2, 3], [4, 2, 0], 3, [6, 6, 6]),
        ([1, 2, 3], [0, 0, 1], 1, [OUT, OUT, 7]),
        ([3, 0, 0], [0, 0, 1], 1, [6, OUT, 1]),
        ([3, 0, 0], [NAN, NAN, NAN], 1, [6, OUT, OUT]),
        ([1, 2, 3], [1, NAN, 3], 3, [3, 6, 9]),
    ],
)
def test_the_weighted_sum_over_the_union_of_the_pools(
    a: list[float], b: list[float], pool: int, expected: list[float]
) -> None:
    scores = {"a": matrix(a), "b": matrix(b)}
    assert fuse(scores, {"a": 2, "b": 1}, pool).tolist() == [expected]


def test_candidates_have_raw_scores_and_end_with_the_depth(
    index: Index, dataset: Dataset, config: RetrievalConfig
) -> None:
    finder = CandidateFinder(index, dataset, config)
    by_review = finder.find(dataset.split("dev").reviews, 3)
    assert [len(candidates) for candidates in by_review] == [3, 3, 3, 3]
    assert [candidates[0].entity_id for candidates in by_review[:3]] == [10, 30, 50]
    for candidates in by_review:
        assert [c.score for c in candidates] == sorted((c.score for c in candidates), reverse=True)
    assert set(by_review[0][0].scores) == {"bm25", "sbert", "title", "descriptor", "image"}
    assert set(by_review[1][0].scores) == {"bm25", "sbert", "title"}


def test_of_many_products_fewer_reviews_are_looked_at_together(
    index: Index, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = CandidateFinder(index, dataset, RetrievalConfig(weights={"tfidf": 1.0, "title": 1.0}))
    reviews = [
        Review(n, body=f"my {word} is red", mention=word) for n, word in enumerate(("drive", "blender"))
    ]
    together = finder.find(reviews, 6)
    monkeypatch.setattr("retrieval.candidates._MOST_SCORES", len(index) - 1)
    widths: list[int] = []
    score = TitleRetriever.score

    def noted(retriever: TitleRetriever, queries: Sequence[Query]) -> Scores:
        widths.append(len(queries))
        return score(retriever, queries)

    monkeypatch.setattr(TitleRetriever, "score", noted)
    assert finder.find(reviews, 6) == together
    assert widths == [1, 1]


def test_equal_products_are_ordered_by_chance(index: Index, dataset: Dataset) -> None:
    config = RetrievalConfig(weights={"title": 1.0}, pool=10)
    finder = CandidateFinder(index, dataset, config)
    reviews = [Review(id_, header="zzz") for id_ in range(600)]
    first = Counter(found[0].entity_id for found in finder.find(reviews, 6))
    assert set(first) == {10, 20, 30, 40, 50, 60}
    assert chisquare(list(first.values())).pvalue > 0.001


@pytest.mark.parametrize(
    ("mention", "expected"),
    [
        ("blender", {10, 20}),
        ("headphones", {30, 40}),
        ("gizmo", {10, 20, 30, 40, 50, 60}),
        ("", {10, 20, 30, 40, 50, 60}),
    ],
)
def test_the_prior_filters(index: Index, dataset: Dataset, mention: str, expected: set[int]) -> None:
    config = RetrievalConfig(weights={"bm25": 1.0}, prior="filter", pool=10)
    found = CandidateFinder(index, dataset, config).find([Review(9, body="the drive", mention=mention)], 6)
    assert {candidate.entity_id for candidate in found[0]} == expected


def test_the_prior_scores(index: Index, dataset: Dataset) -> None:
    config = RetrievalConfig(weights={"bm25": 1.0}, prior="score", pool=10)
    found = CandidateFinder(index, dataset, config).find([Review(9, body="zzz", mention="hard drive")], 6)[0]
    assert [c.entity_id for c in found[:2]] == [50, 60]
    assert found[0].scores["prior"] == pytest.approx(1)


def test_nothing_is_encoded_twice(index: Index, dataset: Dataset, config: RetrievalConfig) -> None:
    finder = CandidateFinder(index, dataset, config)
    queries = finder.queries(dataset.split("dev").reviews)
    first = finder.score_queries(queries)
    vectors = [query.text_vector for query in queries]
    second = finder.score_queries(queries)
    assert all(query.text_vector is vector for query, vector in zip(queries, vectors, strict=True))
    assert all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)


def test_chroma_finds_what_exact_search_finds(index: Index, dataset: Dataset) -> None:
    reviews = dataset.split("dev").reviews
    exact = RetrievalConfig(weights={"sbert": 1.0}, pool=10)
    chroma = exact.model_copy(update={"search": "chroma"})
    a = CandidateFinder(index, dataset, exact).find(reviews, 6)
    b = CandidateFinder(index, dataset, chroma).find(reviews, 6)
    assert [[c.entity_id for c in row] for row in a] == [[c.entity_id for c in row] for row in b]
    assert [c.score for c in a[0]] == pytest.approx([c.score for c in b[0]], abs=1e-6)
    index.close()


def test_nearest_texts(index: Index) -> None:
    vectors = index.text_encoder.encode(["earbuds", "blender"])
    for exact in (True, False):
        (first, scores), (second, _) = index.nearest_texts(vectors, 2, exact=exact)
        assert first[0] == index.rows[40]
        assert set(second) == {index.rows[10], index.rows[20]}
        assert scores == pytest.approx(np.sort(vectors[0] @ index.text_vectors.T)[:-3:-1], abs=1e-6)
    index.close()


@pytest.mark.parametrize("name", RETRIEVERS.names())
@pytest.mark.parametrize(
    "review",
    [
        Review(1),
        Review(2, body="x"),
        Review(3, body="blender " * 20_000),
        Review(4, header="\x00", body="\U0001f600 \u202e مرحبا", mention="\x00"),
        Review(5, body="fine", images=("gone.png", "../products.json", "r1.png")),
    ],
    ids=lambda review: f"review{review.id}",
)
def test_every_retriever_scores_every_product_for_any_review(
    index: Index, dataset: Dataset, config: RetrievalConfig, name: str, review: Review
) -> None:
    finder = CandidateFinder(index, dataset, config.model_copy(update={"weights": {name: 1.0}}))
    (scores,) = finder.scores([review, review]).values()
    assert scores.dtype == np.float32
    assert scores.shape == (2, len(index))
    assert np.array_equal(scores[0], scores[1], equal_nan=True)
    assert not np.isinf(scores).any()


@pytest.mark.parametrize("name", RETRIEVERS.names())
def test_every_retriever_takes_no_review_at_all(
    index: Index, dataset: Dataset, config: RetrievalConfig, name: str
) -> None:
    finder = CandidateFinder(index, dataset, config.model_copy(update={"weights": {name: 1.0}}))
    assert [scores.shape for scores in finder.scores([]).values()] == [(0, len(index))]


def test_bm25_is_a_share_of_the_best_possible(index: Index, dataset: Dataset) -> None:
    finder = CandidateFinder(index, dataset, RetrievalConfig(weights={"bm25": 1.0}))
    scores = finder.scores([Review(1, body="smoothies"), Review(2, body="zzz")])["bm25"]
    assert scores.max() == pytest.approx(1)
    assert not scores[1].any()


def test_title_needs_both_sides_to_match(index: Index, dataset: Dataset) -> None:
    finder = CandidateFinder(index, dataset, RetrievalConfig(weights={"title": 1.0}))
    whole = "Acme - Breeze 300 Blender - Red"
    scores = finder.scores([Review(1, header=whole), Review(2, header="Red")])["title"]
    row = index.rows[10]
    assert scores[0].argmax() == row
    assert scores[0, row] == pytest.approx(1)
    assert 0 < scores[1, row] < 1


def test_a_header_counts_as_far_as_it_names_a_product(index: Index, dataset: Dataset) -> None:
    finder = CandidateFinder(index, dataset, RetrievalConfig(weights={"bm25": 1.0, "header": 1.0}))
    listing = Review(1, header="Acme - Breeze 300 Blender - Red")
    review = Review(2, header="Red", body="My sister bought it for the kitchen of her holiday flat.")
    scores = finder.scores([listing, review])
    row = index.rows[10]
    assert scores["header"][0, row] == pytest.approx(scores["bm25"][0, row])
    assert 0 < scores["header"][1, row] < 0.2 * scores["header"][0, row]

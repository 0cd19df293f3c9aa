from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from retrieval.encoders.encoder import normalised
from retrieval.search import search, top_k

NAN = float("nan")


@pytest.mark.parametrize(
    ("scores", "k", "expected"),
    [
        ([0.1, 0.9, 0.5], 2, [1, 2]),
        ([0.5, 0.5, 0.5], 2, [0, 1]),
        ([0.1, 0.5, 0.5, 0.5], 3, [1, 2, 3]),
        ([0.5, NAN, 0.4], 2, [0, 2]),
        ([NAN, 0.4, NAN], 3, [1, 0, 2]),
        ([0.1, 0.2], 9, [1, 0]),
    ],
)
def test_top_k(scores: list[float], k: int, expected: list[int]) -> None:
    assert top_k(np.array([scores], dtype=np.float32), k).tolist() == [expected]


@given(
    arrays(np.float32, (3, 40), elements=st.integers(-4, 4).map(float)),
    st.integers(1, 45),
)
def test_top_k_is_a_stable_full_sort_cut_off(scores: np.ndarray, k: int) -> None:
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert np.array_equal(top_k(scores, k), expected)


def test_search_is_exact() -> None:
    rng = np.random.default_rng(0)
    vectors = normalised(rng.standard_normal((700, 16)))
    queries = normalised(rng.standard_normal((300, 16)))
    rows, scores = search(vectors, queries, 50)
    assert np.array_equal(rows, np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :50])
    assert np.allclose(scores, np.sort(queries @ vectors.T, axis=1)[:, :-51:-1])


def test_a_constant_scorer_ranks_by_row() -> None:
    assert top_k(np.zeros((2, 5), dtype=np.float32), 3).tolist() == [[0, 1, 2], [0, 1, 2]]

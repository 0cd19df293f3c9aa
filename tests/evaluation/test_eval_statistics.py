from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, false_discovery_control

from eval.measures.statistics import (
    ClusteredBootstrap,
    clustered_bootstrap,
    detectable,
    exact_against_chance,
    exact_mcnemar,
    false_discovery,
    paired_difference,
)


def test_a_mean_is_the_mean() -> None:
    interval = clustered_bootstrap([1, 0, 1, 1], ["a", "b", "c", "d"])
    assert interval.value == 0.75
    assert interval.low <= 0.75 <= interval.high
    assert interval.n == 4


def test_micro_f1_is_a_ratio_of_sums() -> None:
    # Two right links, three links, four answerable reviews: 2 * 2 / (3 + 4).
    interval = clustered_bootstrap([2, 2, 0, 0], [1, 2, 3, 4], [2, 2, 2, 1])
    assert interval.value == pytest.approx(4 / 7)


def test_the_same_seed_gives_the_same_interval() -> None:
    values, clusters = [1, 0, 1, 1, 0, 1], [1, 1, 2, 3, 4, 5]
    assert clustered_bootstrap(values, clusters, seed=3) == clustered_bootstrap(values, clusters, seed=3)
    assert clustered_bootstrap(values, clusters, seed=3) != clustered_bootstrap(values, clusters, seed=4)


def test_reviews_of_one_product_are_one_observation() -> None:
    values = [1, 1, 1, 0, 0, 0] * 10
    alone = clustered_bootstrap(values, list(range(60)))
    together = clustered_bootstrap(values, [i // 3 for i in range(60)])
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_none_is_a_cluster_of_its_own() -> None:
    assert ClusteredBootstrap([7, 7, None, None, 8]).size == 4


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([1, 1, 1, 1, 1], 0.025 ** (1 / 5), 1.0), ([0, 0, 0, 0, 0], 0.0, 1 - 0.025 ** (1 / 5))],
)
def test_all_alike_has_the_exact_bound_instead_of_no_spread(
    values: list[int], low: float, high: float
) -> None:
    interval = clustered_bootstrap(values, [1, 2, 3, 4, 5])
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_nothing_to_measure_is_nan() -> None:
    for interval in (clustered_bootstrap([], []), clustered_bootstrap([0, 0], [1, 2], [0, 0])):
        assert interval.n == 0
        assert all(map(math.isnan, (interval.value, interval.low, interval.high)))
        assert interval.percent() == "-"


def test_lengths_must_match() -> None:
    with pytest.raises(ValueError, match="values for"):
        clustered_bootstrap([1, 0], [1, 2, 3])


def test_percent_prints_as_papers_do() -> None:
    interval = clustered_bootstrap([1, 0, 1, 1], [1, 2, 3, 4])
    assert interval.percent() == f"75.00 [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def test_identical_runs_differ_by_nothing() -> None:
    difference = paired_difference([1, 0, 1], [1, 0, 1], [1, 2, 3])
    assert (difference.value, difference.low, difference.high, difference.detectable) == (0, 0, 0, 0)


def test_pairing_is_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(400) < 0.5
    b = a | (rng.random(400) < 0.1)
    difference = paired_difference(a, b, list(range(400)))
    alone = clustered_bootstrap(a, list(range(400)))
    assert difference.low > 0
    assert difference.high - difference.low < alone.high - alone.low


@pytest.mark.parametrize(
    ("fixed", "broken", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (3, 3, 1.0), (9, 1, 0.021484375)],
)
def test_mcnemar_counts_discordant_pairs_only(fixed: int, broken: int, p: float) -> None:
    a = [False] * fixed + [True] * broken + [True, False] * 20
    b = [True] * fixed + [False] * broken + [True, False] * 20
    assert exact_mcnemar(a, b) == pytest.approx(p)


@pytest.mark.parametrize("hits", [0, 1, 30, 50, 300])
def test_equal_chances_are_the_binomial_test(hits: int) -> None:
    right = [i < hits for i in range(300)]
    p = exact_against_chance(right, [0.1] * 300)
    assert p == pytest.approx(binom.sf(hits - 1, 300, 0.1), rel=1e-9)


@pytest.mark.parametrize("sizes", [(2,), (1, 3), (2, 3, 5), (10, 10, 4, 1, 7, 2, 3)])
def test_mixed_chances_are_every_outcome_counted(sizes: tuple[int, ...]) -> None:
    outcomes = list(itertools.product([False, True], repeat=len(sizes)))
    for hits in range(len(sizes) + 1):
        counted = sum(
            math.prod(1 / k if hit else 1 - 1 / k for k, hit in zip(sizes, outcome, strict=True))
            for outcome in outcomes
            if sum(outcome) >= hits
        )
        right = [place < hits for place in range(len(sizes))]
        assert exact_against_chance(right, [1 / k for k in sizes]) == pytest.approx(counted, abs=1e-15)


def test_a_review_that_cannot_be_hit_changes_nothing() -> None:
    assert (
        exact_against_chance([1, 0, 0], [0.5, 0.5, 0.0]) == exact_against_chance([1, 0], [0.5, 0.5]) == 0.75
    )


def test_far_from_chance_p_keeps_its_size() -> None:
    assert exact_against_chance([True] * 200, [0.1] * 200) == pytest.approx(1e-200, rel=1e-9)


def test_nothing_reviewed_is_not_significant() -> None:
    assert exact_against_chance([], []) == 1.0


def test_guesses_are_significant_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    chances = 1 / rng.integers(2, 11, size=300)
    found = sum(exact_against_chance(rng.random(300) < chances, chances) < 0.05 for _ in range(400))
    assert 5 <= found <= 31, "20 expected; the number of hits is discrete, so rather fewer"


def test_a_chance_for_every_review() -> None:
    with pytest.raises(ValueError, match="chances for"):
        exact_against_chance([1, 0], [0.1])


def test_false_discovery_by_hand() -> None:
    assert false_discovery([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert false_discovery([]) == []


def test_detectable_difference_by_hand() -> None:
    assert detectable(0.01) == pytest.approx(0.01 * (1.959964 + 0.841621), abs=1e-6)


def test_the_interval_covers_the_truth() -> None:
    """60 products with 1 to 5 reviews each, right with the product's own rate: about 95 of 100 runs cover."""
    rng = np.random.default_rng(1)
    covered = naive = 0
    for seed in range(200):
        sizes = rng.integers(1, 6, size=60)
        rates = rng.beta(1, 1, size=60)
        clusters = np.repeat(np.arange(60), sizes)
        values = rng.random(len(clusters)) < rates[clusters]
        interval = clustered_bootstrap(values, clusters.tolist(), samples=400, seed=seed)
        single = clustered_bootstrap(values, list(range(len(values))), samples=400, seed=seed)
        covered += interval.low <= 0.5 <= interval.high
        naive += single.low <= 0.5 <= single.high
    assert 180 <= covered <= 199
    assert naive < covered


def test_a_test_split_takes_milliseconds() -> None:
    rng = np.random.default_rng(0)
    bootstrap = ClusteredBootstrap(rng.integers(0, 1500, 3025).tolist())
    values = rng.random(3025) < 0.5
    start = time.perf_counter()
    bootstrap.ratio(values)
    assert time.perf_counter() - start < 0.5


@given(st.integers(0, 60), st.integers(0, 60))
def test_exact_mcnemar_is_the_binomial_test(fixed: int, broken: int) -> None:
    a, b = [False] * fixed + [True] * broken, [True] * fixed + [False] * broken
    expected = binomtest(fixed, fixed + broken, 0.5).pvalue if fixed + broken else 1.0
    assert exact_mcnemar(a, b) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_false_discovery_is_that_of_scipy(p: list[float]) -> None:
    assert false_discovery(p) == pytest.approx(false_discovery_control(p))


def test_an_exact_p_of_many_pairs() -> None:
    assert exact_mcnemar([True] * 1000, [False] * 1000) == 2.0**-999

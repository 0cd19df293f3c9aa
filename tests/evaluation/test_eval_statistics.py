from __future__ import annotations

import math
import time

import numpy as np
import pytest

from eval.statistics import (
    ClusteredBootstrap,
    clustered_bootstrap,
    detectable,
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

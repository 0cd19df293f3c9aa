"""Intervals and tests for scores of reviews that share gold products.

Reviews of one product succeed and fail together, so intervals resample products, not reviews: the clustered
bootstrap of Davison and Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAMPLES = 2000
"""Bootstrap samples of every interval."""

LEVEL = 0.95
"""Coverage of every interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its 95 % interval; ``n`` reviews stand behind it. All three are NaN when ``n`` is 0."""

    value: float
    low: float
    high: float
    n: int

    def percent(self) -> str:
        """The form that papers print: ``52.35 [50.10, 54.60]``; "-" when there is nothing to measure."""
        if self.n == 0:
            return "-"
        return f"{100 * self.value:.2f} [{100 * self.low:.2f}, {100 * self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Difference:
    """B minus A on the same reviews.

    ``detectable`` is the smallest true difference that a comparison of this size would find (``detectable``).
    """

    value: float
    low: float
    high: float
    n: int
    detectable: float

    def percent(self) -> str:
        """In points, with the sign: ``+5.78 [-1.86, +13.61]``; "-" when there is nothing to measure."""
        shares = (self.value, self.low, self.high)
        if any(map(math.isnan, shares)):
            return "-"
        return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * share for share in shares))


@dataclass(frozen=True)
class ClusteredBootstrap:
    """Resamples of the clusters, shared by all scores of one set of reviews so that they are comparable.

    ``clusters`` names the cluster of each review; None means that the review is a cluster of its own
    (a review whose product is not in the KB). The same seed and clusters give the same resamples.
    """

    clusters: Sequence[Hashable | None]
    samples: int = SAMPLES
    seed: int = 0
    _member: NDArray[np.int64] = field(init=False, repr=False)
    _draws: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers: dict[Hashable, int] = {}
        member = [
            numbers.setdefault((0, i) if cluster is None else (1, cluster), len(numbers))
            for i, cluster in enumerate(self.clusters)
        ]
        object.__setattr__(self, "_member", np.asarray(member, dtype=np.int64))
        object.__setattr__(self, "_draws", _draw_counts(len(numbers), self.samples, self.seed))

    @property
    def size(self) -> int:
        """Number of clusters."""
        return int(self._draws.shape[1])

    def ratio(self, numerators: ArrayLike, denominators: ArrayLike | None = None) -> Interval:
        """Sum of numerators over sum of denominators (1 each by default: the mean), percentile interval.

        Arrays have one element per review; a review outside the measured set has denominator 0, and ``n``
        counts the others. When every cluster is entirely right or entirely wrong the bootstrap has no spread;
        then the exact bound for as many independent clusters stands in (Clopper and Pearson, 1934).
        """
        top, bottom = self._arrays(numerators, denominators)
        n = int(np.count_nonzero(bottom))
        if n == 0:
            return Interval(float("nan"), float("nan"), float("nan"), 0)
        value = float(top.sum() / bottom.sum())
        measured = np.unique(self._member[bottom > 0]).size
        miss = float(((1 - LEVEL) / 2) ** (1 / measured))
        if not top.any():
            return Interval(0.0, 0.0, 1 - miss, n)
        if np.array_equal(top, bottom):
            return Interval(1.0, miss, 1.0, n)
        low, high = _percentiles(self._ratios(top, bottom))
        return Interval(value, low, high, n)

    def difference(
        self,
        a: tuple[ArrayLike, ArrayLike | None],
        b: tuple[ArrayLike, ArrayLike | None],
    ) -> Difference:
        """Ratio of ``b`` minus ratio of ``a``, each (numerators, denominators), on the same resamples.

        Pairing removes what both runs share (Miller, "Adding Error Bars to Evals", 2024, section 4).
        """
        top_a, bottom_a = self._arrays(*a)
        top_b, bottom_b = self._arrays(*b)
        n = int(np.count_nonzero(bottom_a + bottom_b))
        if not bottom_a.any() or not bottom_b.any():
            return Difference(float("nan"), float("nan"), float("nan"), n, float("nan"))
        value = float(top_b.sum() / bottom_b.sum() - top_a.sum() / bottom_a.sum())
        draws = self._ratios(top_b, bottom_b) - self._ratios(top_a, bottom_a)
        low, high = _percentiles(draws)
        return Difference(value, low, high, n, detectable(float(np.nanstd(draws))))

    def _arrays(
        self, numerators: ArrayLike, denominators: ArrayLike | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        top = np.asarray(numerators, dtype=np.float64)
        bottom = np.ones_like(top) if denominators is None else np.asarray(denominators, dtype=np.float64)
        if top.shape != self._member.shape or bottom.shape != self._member.shape:
            raise ValueError(f"{top.shape} and {bottom.shape} values for {self._member.shape} reviews")
        return top, bottom

    def _ratios(self, top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.stack([np.bincount(self._member, weights=x, minlength=self.size) for x in (top, bottom)], 1)
        drawn = self._draws @ sums
        ratios = np.full(self.samples, np.nan)
        np.divide(drawn[:, 0], drawn[:, 1], out=ratios, where=drawn[:, 1] > 0)
        return ratios


def clustered_bootstrap(
    values: ArrayLike,
    clusters: Sequence[Hashable | None],
    weights: ArrayLike | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of ``values`` (with ``weights``: sum of values over sum of weights), interval clustered.

    One element per review in all three; a micro-F1 is values = 2 x right, weights = answered + answerable.
    Build one ``ClusteredBootstrap`` for several scores of the same reviews.
    """
    return ClusteredBootstrap(clusters, samples, seed).ratio(values, weights)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable | None],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Difference:
    """Mean of ``b`` minus mean of ``a`` over the same reviews, interval clustered."""
    return ClusteredBootstrap(clusters, samples, seed).difference((a, None), (b, None))


def exact_mcnemar(a_correct: ArrayLike, b_correct: ArrayLike) -> float:
    """Two-sided p that A and B are right equally often: the exact binomial test on discordant pairs.

    McNemar (1947), Psychometrika 12. Reviews count as independent, so where many reviews share a product the
    clustered interval is the stricter judge. 1.0 when the runs never disagree.
    """
    a, b = np.asarray(a_correct, dtype=bool), np.asarray(b_correct, dtype=bool)
    fixed, broken = int(np.sum(b & ~a)), int(np.sum(a & ~b))
    pairs, fewer = fixed + broken, min(fixed, broken)
    as_few = ways = 1  # to draw that many of the pairs: whole numbers, exact however small p is
    for drawn in range(fewer):
        ways = ways * (pairs - drawn) // (drawn + 1)
        as_few += ways
    return min(1.0, 2 * as_few / (1 << pairs))


def exact_against_chance(right: ArrayLike, chances: ArrayLike) -> float:
    """One-sided p that guesses are right at least as often, exact.

    One element per review: whether it was right, and the probability that a guess is. Their number is then
    Poisson-binomial (Hodges and Le Cam, 1960, Annals of Mathematical Statistics 31), summed up review by
    review (Hong, 2013, Computational Statistics & Data Analysis 59). 0.0 below the smallest float.

    Reviews count as independent, which guesses are. A method that only favours some products, whatever the
    review says, is right or wrong on all reviews of a product at once, and for it p comes out too small.
    """
    hits, chance = np.asarray(right, dtype=bool), np.asarray(chances, dtype=np.float64)
    if hits.shape != chance.shape:
        raise ValueError(f"{chance.shape} chances for {hits.shape} reviews")
    distribution = np.zeros(len(chance) + 1)
    distribution[0] = 1.0
    for p in chance:
        distribution[1:] = distribution[1:] * (1 - p) + distribution[:-1] * p
        distribution[0] *= 1 - p
    return min(1.0, float(distribution[int(hits.sum()) :].sum()))


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """Adjusted p of many tests: Benjamini and Hochberg (1995), JRSS B 57. Same order as given."""
    tests = len(p_values)
    order = sorted(range(tests), key=lambda test: p_values[test], reverse=True)
    adjusted, least = [0.0] * tests, 1.0
    for rank, test in zip(range(tests, 0, -1), order, strict=True):
        least = min(least, p_values[test] * tests / rank)
        adjusted[test] = least
    return adjusted


def detectable(standard_error: float, power: float = 0.8) -> float:
    """Smallest true difference found with ``power`` at the 5 % level: (z(0.975) + z(power)) x standard error.

    Miller, "Adding Error Bars to Evals" (2024), section 5.
    """
    normal = NormalDist()
    return (normal.inv_cdf((1 + LEVEL) / 2) + normal.inv_cdf(power)) * standard_error


def _draw_counts(clusters: int, samples: int, seed: int) -> NDArray[np.float64]:
    """How often each cluster is drawn in each sample: multinomial counts, [samples, clusters]."""
    if clusters == 0:
        return np.zeros((samples, 0))
    drawn = np.random.default_rng(seed).integers(0, clusters, size=(samples, clusters))
    drawn += np.arange(samples)[:, None] * clusters
    counts = np.bincount(drawn.ravel(), minlength=samples * clusters)
    return counts.reshape(samples, clusters).astype(np.float64)


def _percentiles(draws: NDArray[np.float64]) -> tuple[float, float]:
    kept = draws[~np.isnan(draws)]
    low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)

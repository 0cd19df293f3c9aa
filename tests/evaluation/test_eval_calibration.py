from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ameli_llm.runs import GoldRow, PredictionRow
from eval.measures.calibration import Calibration, calibration, reliability, risk_curve
from eval.measures.judged import Judged, judge

Pairs = Sequence[tuple[float | None, bool]]
Measure = Callable[[Pairs], Calibration]
Curve = Callable[[Pairs], list[tuple[float, float]]]


@pytest.fixture
def judged(
    predict: Callable[..., PredictionRow], golds: Callable[..., dict[int, GoldRow]]
) -> Callable[[Pairs], list[Judged]]:
    """Reviews of (confidence, right) pairs."""

    def make(pairs: Pairs) -> list[Judged]:
        rows = [predict(i, 1, {1: 1.0}, confidence=confidence) for i, (confidence, _) in enumerate(pairs)]
        return judge(rows, golds({i: 1 if right else 2 for i, (_, right) in enumerate(pairs)}))

    return make


@pytest.fixture
def measure(judged: Callable[[Pairs], list[Judged]]) -> Measure:
    return lambda pairs: calibration(judged(pairs))


@pytest.fixture
def curve(judged: Callable[[Pairs], list[Judged]]) -> Curve:
    return lambda pairs: risk_curve(judged(pairs))


def test_four_answers_by_eye(measure: Measure, curve: Curve) -> None:
    pairs = [(0.9, True), (0.8, True), (0.7, False), (0.6, True)]
    c = measure(pairs)
    assert c.ece == pytest.approx((0.1 + 0.2 + 0.7 + 0.4) / 4)
    assert np.array(curve(pairs)) == pytest.approx(np.array([(0.25, 0), (0.5, 0), (0.75, 1 / 3), (1, 0.25)]))
    assert c.aurc == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)
    point = c.points[0]
    assert (point.precision, point.coverage, point.threshold) == (0.95, 0.5, 0.8)


def test_answers_of_equal_confidence_are_not_separated(measure: Measure, curve: Curve) -> None:
    pairs = [(0.9, True), (0.9, False), (0.5, True)]
    c = measure(pairs)
    assert np.array(curve(pairs)) == pytest.approx(np.array([(2 / 3, 0.5), (1, 1 / 3)]))
    # Expected risk at one answer is 1/2, whichever of the two comes first.
    assert c.aurc == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert c.points[0].threshold is None
    assert c.points[0].coverage == 0


def test_a_review_without_confidence_is_never_answered(measure: Measure, curve: Curve) -> None:
    pairs = [(0.9, True), (None, True)]
    c = measure(pairs)
    assert c.n == 1
    assert curve(pairs) == [(0.5, 0.0)]
    assert c.aurc == pytest.approx((0 + 1 / 2) / 2)


def test_perfect_confidence_has_no_error(measure: Measure) -> None:
    pairs = [(0.75, i % 4 != 0) for i in range(40)]
    c = measure(pairs)
    assert c.ece == pytest.approx(sum(b.n * abs(b.accuracy - 0.75) for b in c.bins) / 40)
    assert measure([(1.0, True)] * 30).ece == 0


def test_nothing_answered(measure: Measure, curve: Curve) -> None:
    c = measure([])
    assert (c.n, c.ece, c.aurc, c.bins) == (0, None, None, ())
    assert curve([]) == []
    c = measure([(None, True)])
    assert (c.ece, c.aurc) == (None, 1.0)


def test_bins_have_equal_mass() -> None:
    rng = np.random.default_rng(0)
    bins = reliability(rng.random(100), np.ones(100))
    assert [b.n for b in bins] == [7] * 10 + [6] * 5
    assert all(left.high <= right.low for left, right in itertools.pairwise(bins))

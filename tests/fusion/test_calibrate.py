"""Logistic calibration on tables small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.fusion.calibrate import apply_logistic, fit_logistic


def test_a_feature_without_information_gives_the_share_of_ones() -> None:
    features = [[0.0]] * 4 + [[1.0]] * 4
    coefficients = fit_logistic(features, [1, 1, 1, 0] * 2, ["x"])
    # n1 = 6, n0 = 2, so that the targets are 7/8 and 1/4.
    expected = (6 * 7 / 8 + 2 * 1 / 4) / 8
    assert coefficients["x"] == pytest.approx(0.0, abs=1e-5)
    assert apply_logistic(coefficients, {"x": 0.0}) == pytest.approx(expected, abs=1e-5)


def test_recovers_probabilities_by_group() -> None:
    # A hundred rows at each of two places, 90 % and 20 % right.
    x = np.repeat([[-3.0], [5.0]], 100, axis=0)
    labels = [1] * 90 + [0] * 10 + [1] * 20 + [0] * 80
    coefficients = fit_logistic(x, labels, ["x"], l2=1e-6)
    assert apply_logistic(coefficients, {"x": -3.0}) == pytest.approx(0.9, abs=0.01)
    assert apply_logistic(coefficients, {"x": 5.0}) == pytest.approx(0.2, abs=0.01)


def test_scale_of_a_feature_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    labels = (x[:, 0] + 0.5 * rng.normal(size=60) > 0).astype(int)
    plain = fit_logistic(x, labels, ["a", "b"])
    scaled = fit_logistic(x * [1000.0, 1.0] + [5.0, -3.0], labels, ["a", "b"])
    for a, b in x[:5]:
        moved = {"a": 1000 * a + 5, "b": b - 3}
        assert apply_logistic(scaled, moved) == pytest.approx(
            apply_logistic(plain, {"a": a, "b": b}), abs=1e-4
        )


def test_separable_labels_stay_finite() -> None:
    coefficients = fit_logistic([[0.0], [1.0]] * 20, [0, 1] * 20, ["x"])
    assert 0.85 < apply_logistic(coefficients, {"x": 1.0}) < 1.0
    assert 0.0 < apply_logistic(coefficients, {"x": 0.0}) < 0.15


@pytest.mark.parametrize(("label", "prior"), [(1, 9 / 10), (0, 1 / 10)])
def test_equal_labels_leave_only_the_prior(label: int, prior: float) -> None:
    coefficients = fit_logistic(np.arange(16.0).reshape(8, 2), [label] * 8, ["a", "b"])
    assert (coefficients["a"], coefficients["b"]) == (0.0, 0.0)
    assert apply_logistic(coefficients, {"a": 100.0, "b": -100.0}) == pytest.approx(prior)


def test_constant_feature_has_no_weight() -> None:
    coefficients = fit_logistic([[0.1, 7.3], [0.9, 7.3]] * 10, [0, 1] * 10, ["x", "constant"])
    assert coefficients["constant"] == 0.0
    assert coefficients["x"] > 0


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        ([[np.nan, 1.0], [0.0, 1.0]], [0, 1], "not finite: a"),
        ([[0.0, np.inf], [0.0, 1.0]], [0, 1], "not finite: b"),
        ([[0.0, 1.0], [0.0, 1.0]], [0, 2], "labels have to be 0 or 1"),
        ([[0.0, 1.0]], [0, 1], r"found features \[1, 2\] and labels \[2\]"),
        ([[0.0], [1.0]], [0, 1], "a row of 2 features per label"),
        (np.zeros((0, 2)), [], "at least one"),
    ],
)
def test_refused_input(features: object, labels: list[int], message: str) -> None:
    with pytest.raises(AmeliError, match=message):
        fit_logistic(np.array(features), labels, ["a", "b"])


@pytest.mark.parametrize(
    ("coefficients", "features", "probability"),
    [
        ({}, {"x": 3.0}, 0.5),
        ({"intercept": 0.0, "x": 1.0}, {"x": 0.0, "unused": 9.0}, 0.5),
        ({"intercept": np.log(3.0)}, {}, 0.75),
        ({"x": 1.0}, {"x": 5000.0}, 1.0),
        ({"x": 1.0}, {"x": -5000.0}, 0.0),
    ],
)
def test_apply(coefficients: dict[str, float], features: dict[str, float], probability: float) -> None:
    assert apply_logistic(coefficients, features) == pytest.approx(probability)


def test_apply_names_a_missing_feature() -> None:
    with pytest.raises(AmeliError, match=r"coefficient for 'y', .* Features: x"):
        apply_logistic({"y": 1.0}, {"x": 0.0})


def test_apply_refuses_what_is_no_number() -> None:
    with pytest.raises(AmeliError, match="is no number"):
        apply_logistic({"x": 1.0}, {"x": float("nan")})

"""Logistic calibration after Platt: from what a ranking looks like to the probability that it is right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError

INTERCEPT = "intercept"


def fit_logistic(
    features: npt.ArrayLike, labels: npt.ArrayLike, names: Sequence[str], *, l2: float = 1.0
) -> dict[str, float]:
    """Coefficients of P(label = 1) = sigmoid(intercept + sum of coefficient times feature).

    ``features`` [n, d] in the order of ``names``, ``labels`` [n] of 0 and 1. Minimises the log loss against
    Platt's smoothed targets ((n1 + 1) / (n1 + 2) for 1 and 1 / (n0 + 2) for 0) plus l2 / 2 times the squared
    weights of the standardised features; the standardisation is folded into the coefficients, which apply to
    raw features. A constant feature has coefficient 0. When all labels are equal nothing can be learnt but
    the prior: the intercept then stands for (n1 + 1) / (n + 2), all else is 0. Raises AmeliError on
    features that are not finite, labels other than 0 and 1, and no rows.
    """
    x, y = _checked(features, labels, names)
    positives = float(y.sum())
    if positives in (0.0, float(len(y))):
        prior = (positives + 1) / (len(y) + 2)
        return {INTERCEPT: math.log(prior / (1 - prior)), **dict.fromkeys(names, 0.0)}
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale <= 1e-12 * np.maximum(1.0, np.abs(mean))] = np.inf
    solution = _minimise((x - mean) / scale, target, l2)
    weights = solution[1:] / scale
    intercept = float(solution[0] - weights @ mean)
    return {INTERCEPT: intercept, **{name: float(w) for name, w in zip(names, weights, strict=True)}}


def apply_logistic(coefficients: Mapping[str, float], features: Mapping[str, float]) -> float:
    """The probability, strictly monotone in every feature; features without a coefficient do not count.

    Raises AmeliError when a feature that has a coefficient is missing or is no number.
    """
    total = coefficients.get(INTERCEPT, 0.0)
    for name, weight in coefficients.items():
        if name == INTERCEPT:
            continue
        if name not in features:
            raise AmeliError(
                f"The calibration has a coefficient for {name!r}, which is no feature of a ranking.",
                hint=f"Features: {', '.join(features)}. ameli-llm tune writes a fitting calibration.",
            )
        total += weight * features[name]
    if not math.isfinite(total):
        raise AmeliError(
            f"The calibration of {dict(features)} gives {total}: a feature or coefficient is no number."
        )
    # exp of a positive number could overflow.
    return 1 / (1 + math.exp(-total)) if total >= 0 else math.exp(total) / (1 + math.exp(total))


def _checked(
    features: npt.ArrayLike, labels: npt.ArrayLike, names: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if x.ndim != 2 or x.shape != (len(y), len(names)) or len(y) == 0:
        raise AmeliError(
            f"Calibration needs a row of {len(names)} features per label, at least one: "
            f"found features {list(x.shape)} and labels {list(y.shape)}."
        )
    bad = [name for name, column in zip(names, x.T, strict=True) if not np.isfinite(column).all()]
    if bad:
        raise AmeliError(f"Calibration features have to be finite numbers; not finite: {', '.join(bad)}.")
    if not np.isin(y, (0.0, 1.0)).all():
        raise AmeliError("Calibration labels have to be 0 or 1.")
    return x, y


def _minimise(
    x: npt.NDArray[np.float64], target: npt.NDArray[np.float64], l2: float
) -> npt.NDArray[np.float64]:
    """[1 + d] intercept and weights at the only minimum; the intercept is not penalised."""
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        z = parameters[0] + x @ parameters[1:]
        error = expit(z) - target
        value = np.sum(np.logaddexp(0, z) - target * z) + l2 / 2 * np.sum(parameters[1:] ** 2)
        return float(value), np.concatenate(([error.sum()], x.T @ error + l2 * parameters[1:]))

    start = np.zeros(1 + x.shape[1])
    result = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-12})
    solution: npt.NDArray[np.float64] = result.x
    return solution

"""Whether confidence means what it says, and what withholding answers would buy.

The answer of a review is its best candidate, whatever its state, so that a run with thresholds and one
without are judged alike. A review without confidence or candidates counts as never answered, and as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.measures.judged import Judged
from eval.measures.showing import Shown

PLACE = 75

BINS = 15
"""Bins of the reliability table, as in Guo et al. (2017)."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of similar confidence: how sure they are on average, and how often they are right."""

    n: int
    low: float
    high: float
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The most answers that keep ``precision``: answer when confidence >= ``threshold`` (None: never)."""

    precision: float
    coverage: float
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """``ece`` and ``bins`` cover the ``n`` reviews with a confidence; coverage is a share of all reviews."""

    n: int
    ece: float | None
    bins: tuple[Bin, ...]
    aurc: float | None
    points: tuple[OperatingPoint, ...]


def measure(judged: Sequence[Judged]) -> dict[str, Any]:
    """``calibration`` of the reviews with gold."""
    return {"calibration": calibration(judged)}


def show(calibration: Mapping[str, Any]) -> Shown:
    """A line, where reviews have a confidence."""
    if calibration["ece"] is None:
        return Shown()
    points = [
        f"{100 * p['coverage']:.1f} % answered at {100 * p['precision']:.0f} % precision"
        for p in calibration["points"]
    ]
    errors = f"ECE {calibration['ece']:.4f}, AURC {calibration['aurc']:.4f}"
    return Shown(lines=(f"calibration: {', '.join([errors, *points])}",))


def calibration(judged: Sequence[Judged], precisions: Sequence[float] = (0.95, 0.99)) -> Calibration:
    """Calibration of the reviews with gold.

    ``ece``: expected calibration error over equal-mass bins (Nguyen and O'Connor, 2015; Guo et al., 2017).
    ``aurc``: mean risk over all coverages (Geifman and El-Yaniv, 2017).
    """
    confidence, right = _answers(judged)
    bins = reliability(confidence, right)
    ece = sum(b.n * abs(b.confidence - b.accuracy) for b in bins) / len(right) if len(right) else None
    curve, thresholds = risk_coverage(confidence, right, len(judged))
    return Calibration(
        n=len(right),
        ece=ece,
        bins=tuple(bins),
        aurc=_aurc(confidence, right, len(judged)),
        points=tuple(_point(precision, curve, thresholds) for precision in precisions),
    )


def risk_curve(judged: Sequence[Judged]) -> list[tuple[float, float]]:
    """(coverage, risk) after each different confidence, best first; a chart's, a point a review."""
    return risk_coverage(*_answers(judged), len(judged))[0]


def _answers(judged: Sequence[Judged]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence of each review that has one and candidates, and 1 where its best candidate is right."""
    known = [
        (one.row.confidence, one.row.candidates[0].entity_id == one.gold.gold)
        for one in judged
        if one.row.confidence is not None and one.row.candidates
    ]
    table = np.asarray(known, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def reliability(confidence: NDArray[np.float64], right: NDArray[np.float64], bins: int = BINS) -> list[Bin]:
    """Equal-mass bins in order of confidence (ties keep their order); fewer when there are fewer answers."""
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order))) if len(order) else []
    return [
        Bin(
            n=len(part),
            low=float(confidence[part[0]]),
            high=float(confidence[part[-1]]),
            confidence=float(confidence[part].mean()),
            accuracy=float(right[part].mean()),
        )
        for part in parts
    ]


def risk_coverage(
    confidence: NDArray[np.float64], right: NDArray[np.float64], n: int
) -> tuple[list[tuple[float, float]], list[float]]:
    """(coverage, risk) points and the threshold of each; ``n`` is the number of all reviews.

    Answers of equal confidence are never separated.
    """
    values, sizes = np.unique(-confidence, return_counts=True)
    answered = np.cumsum(sizes)
    correct = np.cumsum(right[np.argsort(-confidence, kind="stable")])[answered - 1]
    curve = [(float(a / n), float(1 - c / a)) for a, c in zip(answered, correct, strict=True)]
    return curve, [float(-value) for value in values]


def _aurc(confidence: NDArray[np.float64], right: NDArray[np.float64], n: int) -> float | None:
    """Mean risk over coverages 1/n to n/n, ties at their expected value under a random order."""
    if n == 0:
        return None
    _, group = np.unique(-confidence, return_inverse=True)
    share = np.bincount(group, weights=right) / np.bincount(group) if len(right) else np.zeros(0)
    ordered = np.concatenate([share[np.sort(group)], np.zeros(n - len(right))])
    return float(np.mean(1 - np.cumsum(ordered) / np.arange(1, n + 1)))


def _point(precision: float, curve: list[tuple[float, float]], thresholds: list[float]) -> OperatingPoint:
    reached = [i for i, (_, risk) in enumerate(curve) if 1 - risk >= precision - 1e-12]
    if not reached:
        return OperatingPoint(precision, 0.0, None)
    return OperatingPoint(precision, curve[reached[-1]][0], thresholds[reached[-1]])

"""What decides whether a review is informative (paper, section 3.4): thresholds, or a logistic model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.construction.features import FEATURES, Features

Table = npt.NDArray[np.float64]


class InformativeModel(Protocol):
    """Decides whether reviews are informative."""

    def informative(self, rows: Sequence[Features]) -> list[bool]:
        """One answer a row."""

    def content(self) -> dict[str, Any]:
        """Everything that decides its answers, as JSON."""


@dataclass(frozen=True)
class Thresholds:
    """Informative is a review with any feature above its threshold.

    The paper calls a review uninformative if its four scores "do not overpass the four corresponding
    thresholds". That is read as: none of them does. Read as "not all of them do", a review without a
    description or an attribute in its words could never be informative. A feature that is missing, or that
    has no threshold, is not above it.
    """

    above: Mapping[str, float]

    def informative(self, rows: Sequence[Features]) -> list[bool]:
        """Whether any feature is above its threshold."""
        return [
            any((value := row.get(name)) is not None and value > most for name, most in self.above.items())
            for row in rows
        ]

    def content(self) -> dict[str, Any]:
        """The thresholds by feature."""
        return {"model": "threshold", "thresholds": dict(self.above)}


@dataclass(frozen=True)
class Logistic:
    """Informative is a review whose probability is above ``threshold``.

    A feature counts by its distance from the ``mean`` of the labelled reviews, in their deviations; one that
    is missing counts as the mean.
    """

    weights: tuple[float, ...]
    bias: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    threshold: float

    def informative(self, rows: Sequence[Features]) -> list[bool]:
        """Whether the probability is above the threshold."""
        return [bool(p > self.threshold) for p in self.probabilities(table_of(rows))]

    def probabilities(self, table: Table) -> Table:
        """Probability of each row of a feature table [n, 4]."""
        mean = np.asarray(self.mean)
        filled = np.where(np.isnan(table), mean, table)
        scores = (filled - mean) / np.asarray(self.scale) @ np.asarray(self.weights) + self.bias
        found: Table = 1 / (1 + np.exp(-scores))
        return found

    def content(self) -> dict[str, Any]:
        """The numbers by feature."""
        names = ("weights", "mean", "scale")
        numbers = {name: dict(zip(FEATURES, getattr(self, name), strict=True)) for name in names}
        return {"model": "logistic", **numbers, "bias": self.bias, "threshold": self.threshold}


def table_of(rows: Sequence[Features]) -> Table:
    """[n, 4], NaN where a feature is missing."""
    return np.array(
        [[math.nan if (value := row.get(name)) is None else value for name in FEATURES] for row in rows],
        dtype=np.float64,
    ).reshape(len(rows), len(FEATURES))


def read_model(content: Mapping[str, Any]) -> InformativeModel:
    """The model whose ``content`` was kept."""
    if content["model"] == "threshold":
        return Thresholds(content["thresholds"])
    weights, mean, scale = (tuple(content[n][f] for f in FEATURES) for n in ("weights", "mean", "scale"))
    return Logistic(weights, content["bias"], mean, scale, content["threshold"])

"""A filter of uninformative reviews, learned on human labels and measured (paper, section 3.4)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.construction.features import FEATURES, Features
from ameli_llm.dataset.construction.informative import InformativeModel, Logistic, Table, Thresholds, table_of
from ameli_llm.dataset.construction.settings import Informative
from ameli_llm.errors import AmeliError, MissingPackageError

GRID = 10
"""Thresholds that are tried of each feature."""
FEWEST = 10
"""Labels of each kind that a filter can be learned on."""
PAPER = "The paper reports a precision of 85 % and a recall of 82 % on 500 pairs (section 3.4)."

Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Share:
    """``right`` of ``n``, with its 95 % interval (Wilson)."""

    right: int
    n: int

    def content(self) -> dict[str, Any]:
        """The share as numbers, None where there is nothing to measure."""
        if not self.n:
            return {"value": None, "low": None, "high": None, "n": 0}
        from scipy.stats import binomtest  # takes a second to import

        low, high = binomtest(self.right, self.n).proportion_ci(0.95, method="wilson")
        return {"value": self.right / self.n, "low": float(low), "high": float(high), "n": self.n}


@dataclass(frozen=True)
class Measured:
    """How well a filter finds informative reviews."""

    precision: Share
    recall: Share

    def content(self) -> dict[str, Any]:
        """Both shares as numbers."""
        return {"precision": self.precision.content(), "recall": self.recall.content()}


@dataclass(frozen=True)
class Learned:
    """A filter, and how well it does on the labels that it was learned on (as in the paper) and held out."""

    model: InformativeModel
    labels: int
    on_labels: Measured
    held_out: Measured
    folds: int
    missing: int

    def content(self) -> dict[str, Any]:
        """The filter and its figures as JSON."""
        return self.model.content() | {
            "labels": self.labels,
            "labels_of_reviews_not_there": self.missing,
            "on_the_labels": self.on_labels.content(),
            "held_out": self.held_out.content() | {"folds": self.folds},
            "paper": PAPER,
        }


def learn(
    settings: Informative, rows: Sequence[Features], labels: Sequence[bool], seed: int, missing: int = 0
) -> Learned:
    """A filter learned on labelled reviews; ``missing`` labels are of reviews that are not there any more.

    Raises AmeliError when there are too few of either kind.
    """
    truth = np.asarray(labels, dtype=bool)
    kinds = int(truth.sum()), int((~truth).sum())
    if min(kinds) < FEWEST:
        raise AmeliError(
            f"{kinds[0]} labelled reviews are informative and {kinds[1]} are not: too few to learn from.",
            hint=f"Label at least {FEWEST} of each kind, or give --set informative.thresholds.",
        )
    table = table_of(rows)
    model = _fit(settings, table, truth)
    held_out = np.zeros(len(rows), dtype=bool)
    fold = np.random.default_rng(seed).permutation(len(rows)) % settings.folds
    for number in range(settings.folds):
        inside, outside = fold != number, fold == number
        if truth[inside].any() and not truth[inside].all():
            part = _fit(settings, table[inside], truth[inside])
            held_out[outside] = part.informative([rows[n] for n in np.flatnonzero(outside)])
    answers = np.asarray(model.informative(rows), dtype=bool)
    return Learned(
        model, len(rows), measure(answers, truth), measure(held_out, truth), settings.folds, missing
    )


def measure(answers: Labels, truth: Labels) -> Measured:
    """Precision and recall of the answers "informative"."""
    both = int((answers & truth).sum())
    return Measured(Share(both, int(answers.sum())), Share(both, int(truth.sum())))


def _fit(settings: Informative, table: Table, truth: Labels) -> InformativeModel:
    if settings.model == "logistic":
        return _fit_logistic(table, truth, settings.precision)
    return _search(table, truth, settings.precision)


def _search(table: Table, truth: Labels, precision: float) -> Thresholds:
    """The thresholds with the best recall among those of enough precision, else those of the best F1.

    Each feature's are quantiles of the labelled reviews, and infinity, which leaves the feature out.
    """
    above: list[list[tuple[float, Labels]]] = []
    for column in table.T:
        known = column[~np.isnan(column)]
        cuts = np.unique(np.quantile(known, np.linspace(0, 1, GRID + 1))) if len(known) else np.empty(0)
        passed = [(float(cut), np.nan_to_num(column, nan=-np.inf) > cut) for cut in cuts[:-1]]
        above.append([*passed, (math.inf, np.zeros(len(column), dtype=bool))])
    best, chosen = (False, -1.0, -1.0), (math.inf,) * len(FEATURES)
    positives = int(truth.sum())
    for first, second in itertools.product(above[0], above[1]):
        two = first[1] | second[1]
        for third, fourth in itertools.product(above[2], above[3]):
            answers = two | third[1] | fourth[1]
            both, said = int((answers & truth).sum()), int(answers.sum())
            if not said:
                continue
            share, recall = both / said, both / positives
            good = share >= precision
            key = (good, recall if good else 2 * both / (said + positives), share)
            if key > best:
                best, chosen = key, (first[0], second[0], third[0], fourth[0])
    return Thresholds({name: cut for name, cut in zip(FEATURES, chosen, strict=True) if cut < math.inf})


def _fit_logistic(table: Table, truth: Labels, precision: float) -> Logistic:
    """Logistic regression; its threshold is the one with the best recall among those of enough precision."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "retrieval") from error
    known = ~np.isnan(table)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, table, 0).sum(axis=0) / counts
    spread = np.sqrt(np.where(known, (table - mean) ** 2, 0).sum(axis=0) / counts)
    scale = np.where(spread > 1e-9, spread, 1.0)
    ready = (np.where(known, table, mean) - mean) / scale
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(ready, truth)
    weights = tuple(float(w) for w in fitted.coef_[0])
    model = Logistic(
        weights, float(fitted.intercept_[0]), tuple(map(float, mean)), tuple(map(float, scale)), 0.5
    )
    probabilities = model.probabilities(table)
    cuts = np.unique(np.concatenate([[0.0], probabilities]))[:-1]
    measured = [(float(cut), measure(probabilities > cut, truth)) for cut in cuts]
    enough = [cut for cut, m in measured if m.precision.n and m.precision.right / m.precision.n >= precision]
    return Logistic(weights, model.bias, model.mean, model.scale, min(enough, default=0.5))

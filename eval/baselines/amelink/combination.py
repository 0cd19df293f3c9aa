"""The sum of text, image and retrieval scores, its weights from dev, and the mismatch filter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.fusion.mismatch import has_mismatch
from ameli_llm.fusion.missing import filled
from ameli_llm.types import Attributes, AttributeValue
from eval.baselines.amelink.settings import AmelinkSettings
from eval.baselines.baseline import Floats, Task
from eval.baselines.material import Material

Numbers: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

OFFICIAL_WEIGHTS = (0.1, 0.8)
"""Least and greatest weight of retrieval and text in the three-way sum."""

MODALITY_RETRIEVER = {"text": "sbert", "image": "image"}
"""The official code pairs a single modality with that modality's own retrieval score."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The scores of one list of candidates, [K] each, NaN where there is none; absent parts are None."""

    text: Floats | None
    image: Floats | None
    retrieval: Floats | None
    wrong: Flags
    """Candidates that the filter puts below the others."""


@dataclass(frozen=True)
class Combination:
    """Weights of the parts, and by what each is divided before (1 where nothing is)."""

    weights: Mapping[str, float]
    sizes: Mapping[str, float]

    @property
    def coefficient(self) -> float | None:
        """Lambda of the paper's equation for the scores as they are; None where there is one part only."""
        text, image = (self.weights.get(name, 0.0) / self.sizes.get(name, 1.0) for name in ("text", "image"))
        if "text" not in self.weights or "image" not in self.weights or text + image == 0:
            return None
        return text / (text + image)


def retrieval_scores(task: Task, only: str) -> Floats:
    """The fused retrieval score of each candidate, or that of the one modality that a variant has."""
    name = MODALITY_RETRIEVER.get(only)
    scores = [one.scores.get(name, math.nan) if name else one.score for one in task.candidates]
    return np.array(scores, np.float32)


def mismatches(task: Task, material: Material, settings: AmelinkSettings) -> Flags:
    """[K]: whether a candidate contradicts what the review states."""
    rule = {"normalised": has_mismatch, "literal": literal_mismatch}.get(settings.mismatch)
    if rule is None:
        return np.zeros(len(task.candidates), np.bool_)
    return np.array([rule(task.extracted, material.attributes[e]) for e in task.entity_ids], np.bool_)


def literal_mismatch(extracted: Sequence[AttributeValue], attributes: Attributes) -> bool:
    """The official rule m1: a key that both have, and no value of it that is the same but for case."""
    stated: dict[str, set[str]] = {}
    for value in extracted:
        if not value.negated:
            stated.setdefault(value.key, set()).add(value.value.casefold())
    return any(
        bool(attributes.get(key)) and not values & {held.casefold() for held in attributes[key]}
        for key, values in stated.items()
    )


def sizes_on(dev: Sequence[Parts], settings: AmelinkSettings) -> dict[str, float]:
    """By what the scores of a part are divided: no gold is looked at.

    With scale "spread" text and image by their mean standard deviation within a list; the retrieval score
    by its greatest absolute value, so that it is of a cosine's size as in the official code.
    """
    sizes = {"text": 1.0, "image": 1.0, "retrieval": 1.0}
    if settings.scale == "spread":
        for name in ("text", "image"):
            spreads = [float(np.nanstd(one)) for one in _known(dev, name) if np.isfinite(one).sum() > 1]
            mean = math.fsum(spreads) / len(spreads) if spreads else 0.0
            sizes[name] = mean if mean > 0 else 1.0
    found = [float(np.nanmax(np.abs(one))) for one in _known(dev, "retrieval") if np.isfinite(one).any()]
    sizes["retrieval"] = max(found, default=1.0) or 1.0
    return sizes


def choose(
    dev: Sequence[Parts], gold: Sequence[int], names: Sequence[str], settings: AmelinkSettings
) -> tuple[Combination, float]:
    """The weights with the best F1 on dev, and that F1; of equals those nearest to equal weights.

    ``gold`` are positions in the lists, -1 where retrieval missed gold; ``names`` the parts there are.
    """
    sizes = sizes_on(dev, settings)
    best: tuple[tuple[float, float], Combination, float] | None = None
    for weights in _grid(names, settings):
        combination = Combination(weights, sizes)
        f1 = expected_hits([combined(one, combination, settings) for one in dev], gold)
        distance = math.fsum((weight - 1 / len(weights)) ** 2 for weight in weights.values())
        key = (round(f1, 9), -round(distance, 9))
        if best is None or key > best[0]:
            best = key, combination, f1
    assert best is not None
    return best[1], best[2]


def expected_hits(totals: Sequence[Numbers], gold: Sequence[int]) -> float:
    """Share of the lists with gold in which gold is first; where it shares the first place, by chance.

    Lists without gold (-1) do not count: no scorer can win there.
    """
    hits = [
        float(total[position] == total.max()) / int((total == total.max()).sum())
        for total, position in zip(totals, gold, strict=True)
        if position >= 0
    ]
    return math.fsum(hits) / len(hits) if hits else 0.0


def combined(parts: Parts, combination: Combination, settings: AmelinkSettings) -> Numbers:
    """The weighted sum [K], candidates that contradict the review below the others, unless all do."""
    total = np.zeros(len(parts.wrong))
    for name, weight in combination.weights.items():
        scores = getattr(parts, name)
        if scores is not None and weight:
            total = total + weight * _prepared(scores, name, combination.sizes[name], settings)
    if len(total) and parts.wrong.any() and not parts.wrong.all():
        total = np.where(parts.wrong, total - (total.max() - total.min() + 1.0), total)
    return total


def _prepared(scores: Floats, name: str, size: float, settings: AmelinkSettings) -> Numbers:
    values = scores.astype(np.float64) / size
    known = np.isfinite(values)
    if settings.missing == "mean":
        values = filled(values[None, :])[0]
        known = np.ones_like(known)
    if settings.scale == "softmax" and name != "retrieval" and known.any():
        powers = np.exp(values - values[known].max(), where=known, out=np.zeros_like(values))
        values = powers / powers.sum()
    if settings.combination == "three_way" and name == "text":
        values = 1.0 / (1.0 + np.exp(-values))
    return np.where(known, values, -1.0)


def _known(dev: Sequence[Parts], name: str) -> list[Floats]:
    return [scores for one in dev if (scores := getattr(one, name)) is not None and len(scores)]


def _grid(names: Sequence[str], settings: AmelinkSettings) -> list[dict[str, float]]:
    """All weights that are tried; they add up to 1."""
    steps = round(1 / settings.grid)
    shares = [round(i / steps, 9) for i in range(steps + 1)]
    if len(names) == 1:
        return [{names[0]: 1.0}]
    if len(names) == 2:
        return [{names[0]: share, names[1]: round(1 - share, 9)} for share in shares]
    low, high = OFFICIAL_WEIGHTS
    inner = [share for share in shares if low <= share <= high]
    return [
        {"retrieval": a, "text": b, "image": round(1 - a - b, 9)}
        for a in inner
        for b in inner
        if a + b <= 1 + 1e-9
    ]

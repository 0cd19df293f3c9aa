"""Comparator "rules": how likely the agreements and conflicts are if the candidate is the reviewed product.

Record linkage without a model (Fellegi & Sunter 1969, "A Theory for Record Linkage"): every stated attribute
adds the logarithm of m / u, where m is the chance that it agrees with the right product (the precision of the
extractor) and u the chance that it agrees with any product (how common the value is).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from ameli_llm.attributes.merge import Precision, lookup_precision
from ameli_llm.attributes.values.normalise import (
    PARTIAL,
    NormalisedValue,
    agreement,
    normalise,
    normalise_all,
)
from ameli_llm.attributes.values.statistics import KBStatistics
from ameli_llm.comparison.comparator import Comparator, Comparison, ComparisonTask
from ameli_llm.types import Attributes, AttributeValue, Evidence

VerdictName = Literal["agree", "conflict", "unknown"]

_SUREST = 0.99
"""No extractor and no value counts as more certain, nor as less than 1 - this."""


class Verdict(NamedTuple):
    """What one stated attribute says about one candidate, and where it is stated."""

    key: str
    verdict: VerdictName
    evidence: Evidence


def create(statistics: KBStatistics | None = None, precision: Precision | None = None) -> Comparator:
    """The comparator; without statistics, values are counted among the candidates of each review.

    ``precision`` is by extractor and key, as ``merge.measure_precision`` gives it.
    """
    return RulesComparator(statistics, precision or {})


def verdicts(task: ComparisonTask) -> tuple[tuple[Verdict, ...], ...]:
    """For each candidate, in the order of the task, a verdict per stated key and place.

    "agree" includes a shade of the same base colour. Unknown: the candidate lacks the key, or has values
    that cannot be compared. A denied value agrees with candidates that do not have it.
    """
    statements = list(_statements(task.extracted))
    return tuple(
        tuple(Verdict(s.key, _verdict(s, s.level(known)), s.evidence) for s in statements)
        for known in task.attributes
    )


@dataclass(frozen=True)
class RulesComparator:
    """Sums evidence weights; deterministic, the same for every order of the candidates."""

    statistics: KBStatistics | None
    precision: Precision
    name: str = "rules"

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """Scores are sums of natural logarithms: 0 for a candidate that nothing speaks for or against.

        Keys that state the same place of the review ("Color", "Actual Color") share its weight: the mean
        over those that the candidate has.
        """
        return [Comparison(scores=self._scores(task)) for task in tasks]

    def _scores(self, task: ComparisonTask) -> tuple[float, ...]:
        statistics = self.statistics or KBStatistics.of(task.attributes)
        places: dict[Evidence, list[_Statement]] = {}
        for statement in _statements(task.extracted):
            places.setdefault(statement.evidence, []).append(statement)
        scores = []
        for known in task.attributes:
            score = 0.0
            for statements in places.values():
                weights = [w for s in statements if (w := self._weight(s, known, statistics)) is not None]
                score += sum(weights) / len(weights) if weights else 0.0
            scores.append(score)
        return tuple(scores)

    def _weight(self, statement: _Statement, known: Attributes, statistics: KBStatistics) -> float | None:
        """log(m/u) for agreement, log((1-m)/(1-u)) for conflict, half a weight for a partial agreement.

        A shade of the same base colour is weighed at the base colour's frequency. Of alternatives the best
        counts. A denied value turns agreement and conflict around, and says nothing about other shades.
        """
        m = _certain(lookup_precision(self.precision, statement.source, statement.key))
        values = _known(statement.key, known.get(statement.key, ()))
        weights = [
            _value_weight(value, level, m, statement, statistics)
            for value in statement.values
            if (level := agreement(value, values)) is not None
            and not (statement.negated and level == PARTIAL)
        ]
        if not weights:
            return None
        return min(weights) if statement.negated else max(weights)


@dataclass(frozen=True)
class _Statement:
    """The alternatives that one place of the review states for one key."""

    key: str
    negated: bool
    source: str
    evidence: Evidence
    values: tuple[NormalisedValue, ...]

    def level(self, known: Attributes) -> float | None:
        """The best agreement of the alternatives with a candidate, None for unknown."""
        values = _known(self.key, known.get(self.key, ()))
        levels = [level for value in self.values if (level := agreement(value, values)) is not None]
        return max(levels, default=None)


def _statements(extracted: Sequence[AttributeValue]) -> Iterator[_Statement]:
    groups: dict[tuple[str, bool, str, Evidence], list[NormalisedValue]] = {}
    for value in extracted:
        place = (value.key, value.negated, value.source, value.evidence)
        groups.setdefault(place, []).append(normalise(value.key, value.value))
    for (key, negated, source, evidence), values in groups.items():
        yield _Statement(key, negated, source, evidence, tuple(values))


def _verdict(statement: _Statement, level: float | None) -> VerdictName:
    if level is None or (statement.negated and level == PARTIAL):
        return "unknown"
    return "agree" if (level > 0) != statement.negated else "conflict"


def _value_weight(
    value: NormalisedValue, level: float, m: float, statement: _Statement, statistics: KBStatistics
) -> float:
    key = statement.key
    u = _certain(statistics.frequency(key, value))
    if level == PARTIAL and value.kind == "colour":
        u = _certain(statistics.base_frequency(key, value))
    if (level > 0) == statement.negated:
        weight = min(0.0, math.log((1 - m) / (1 - u)))
    elif statement.negated:
        weight = max(0.0, math.log(m / (1 - u)))
    else:
        weight = max(0.0, math.log(m / u))
    return weight * PARTIAL if level == PARTIAL else weight


@lru_cache(maxsize=65_536)
def _known(key: str, values: tuple[str, ...]) -> tuple[NormalisedValue, ...]:
    return normalise_all(key, values)


def _certain(probability: float) -> float:
    return min(max(probability, 1 - _SUREST), _SUREST)


__all__ = ["KBStatistics", "RulesComparator", "Verdict", "create", "verdicts"]

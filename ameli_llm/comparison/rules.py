"""Comparator "rules": how likely the agreements and conflicts are if the candidate is the reviewed product.

Record linkage without a model (Fellegi & Sunter 1969, "A Theory for Record Linkage"): every stated attribute
adds the logarithm of m / u, where m is the chance that it agrees with the right product (the precision of the
extractors that say so) and u the chance that it agrees with any product (how common the value is).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ameli_llm.attributes.merge import Precision, precision_of
from ameli_llm.attributes.values.normalise import PARTIAL, NormalisedValue, agreement
from ameli_llm.attributes.values.statistics import KBStatistics
from ameli_llm.comparison._evidence import agreeing, certain, differing
from ameli_llm.comparison.comparator import Comparator, Comparison, ComparisonTask
from ameli_llm.comparison.verdicts import Statement, known_values, statements
from ameli_llm.fusion.missing import filled_row
from ameli_llm.types import Attributes, Evidence


def create(statistics: KBStatistics | None = None, precision: Precision | None = None) -> Comparator:
    """The comparator; without statistics, values are counted among the candidates of each review.

    ``precision`` is by extractor and key, as ``merge.measure_precision`` gives it.
    """
    return RulesComparator(statistics, precision or {})


@dataclass(frozen=True)
class RulesComparator:
    """Sums evidence weights; deterministic, the same for every order of the candidates."""

    statistics: KBStatistics | None
    precision: Precision
    name: str = "rules"

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """Scores are sums of natural logarithms: 0 where the review states nothing that any candidate has.

        Keys that state the same place of the review ("Color", "Actual Color") share its weight: the mean
        over those that the candidate has. A candidate that has none of them counts as the mean of the
        others, so that a page is not better or worse for having fewer lines.
        """
        return [Comparison(scores=self._scores(task)) for task in tasks]

    def _scores(self, task: ComparisonTask) -> tuple[float, ...]:
        statistics = self.statistics or KBStatistics.of(task.attributes)
        places: dict[Evidence, list[Statement]] = {}
        for statement in statements(task.extracted):
            places.setdefault(statement.evidence, []).append(statement)
        columns = [self._column(together, task, statistics) for together in places.values()]
        return tuple(map(math.fsum, zip(*columns, strict=True))) if columns else (0.0,) * len(task.attributes)

    def _column(
        self, together: Sequence[Statement], task: ComparisonTask, statistics: KBStatistics
    ) -> list[float]:
        """What one place of the review says of each candidate."""
        found: list[float | None] = []
        for known in task.attributes:
            weights = [w for s in together if (w := self._weight(s, known, statistics)) is not None]
            found.append(sum(weights) / len(weights) if weights else None)
        return filled_row(found)

    def _weight(self, statement: Statement, known: Attributes, statistics: KBStatistics) -> float | None:
        """log(m/u) for agreement, log((1-m)/(1-u)) for conflict, half a weight for a partial agreement.

        A shade of the same base colour is weighed at the base colour's frequency. Of alternatives the best
        counts. A denied value turns agreement and conflict around, and says nothing about other shades.
        """
        m = certain(precision_of(self.precision, statement.voices, statement.key))
        values = known_values(statement.key, known.get(statement.key, ()))
        weights = [
            _value_weight(value, level, m, statement, statistics)
            for value in statement.values
            if (level := agreement(value, values)) is not None
            and not (statement.negated and level == PARTIAL)
        ]
        if not weights:
            return None
        return min(weights) if statement.negated else max(weights)


def _value_weight(
    value: NormalisedValue, level: float, m: float, statement: Statement, statistics: KBStatistics
) -> float:
    key = statement.key
    u = certain(statistics.frequency(key, value))
    if level == PARTIAL and value.kind == "colour":
        u = certain(statistics.base_frequency(key, value))
    if (level > 0) == statement.negated:
        weight = differing(m, u)
    elif statement.negated:
        weight = agreeing(m, 1 - u)
    else:
        weight = agreeing(m, u)
    return weight * PARTIAL if level == PARTIAL else weight

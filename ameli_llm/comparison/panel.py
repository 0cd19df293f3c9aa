"""Several comparators side by side: their scores are kept by name and added up with weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from ameli_llm.comparison.comparator import Comparator, Comparison, ComparisonTask
from ameli_llm.types import Usage, Verdict


@dataclass(frozen=True)
class Panel:
    """``comparators`` by name, each with its weight in the sum; one without a weight counts 1."""

    comparators: Mapping[str, Comparator]
    weights: Mapping[str, float]

    @property
    def name(self) -> str:
        """The names of the comparators."""
        return "+".join(self.comparators)

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        """One comparison per task: every comparator sees all tasks; one's failure is the comparison's."""
        found = {name: one.compare(tasks) for name, one in self.comparators.items()}
        return [
            self._joined({name: comparisons[at] for name, comparisons in found.items()})
            for at in range(len(tasks))
        ]

    def _joined(self, parts: Mapping[str, Comparison]) -> Comparison:
        """The parts as one. "None of these" is scored by the first that asks; orders and flips add up."""
        usage = sum((part.usage for part in parts.values()), Usage())
        exchanges = tuple(one for part in parts.values() for one in part.exchanges)
        failure = next((part.failure for part in parts.values() if part.failure), None)
        if failure is not None:
            return Comparison(usage=usage, failure=failure, exchanges=exchanges)
        scores = {name: part.scores for name, part in parts.items()}
        return Comparison(
            total(scores, self.weights),
            next((part.none_score for part in parts.values() if part.none_score is not None), None),
            usage,
            orders=max(part.orders for part in parts.values()),
            flips=sum(part.flips for part in parts.values()),
            by_comparator=scores,
            exchanges=exchanges,
            verdicts=_side_by_side([part.verdicts for part in parts.values() if part.verdicts]),
        )


def _side_by_side(verdicts: Sequence[tuple[tuple[Verdict, ...], ...]]) -> tuple[tuple[Verdict, ...], ...]:
    """For each candidate the verdicts of all comparators that gave some."""
    return tuple(tuple(chain.from_iterable(of_one)) for of_one in zip(*verdicts, strict=True))


def total(scores: Mapping[str, Sequence[float]], weights: Mapping[str, float]) -> tuple[float, ...]:
    """The weighted sum for each candidate of scores by comparator; one without a weight counts 1."""
    columns = [[weights.get(name, 1.0) * score for score in column] for name, column in scores.items()]
    return tuple(math.fsum(row) for row in zip(*columns, strict=True))

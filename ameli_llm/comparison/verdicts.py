"""Whether a candidate's attributes agree with what a review states, place by place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ameli_llm.attributes.values.normalise import (
    PARTIAL,
    NormalisedValue,
    agreement,
    normalise,
    normalise_all,
)
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.types import Attributes, AttributeValue, Evidence, Verdict, VerdictName


def verdicts(task: ComparisonTask) -> tuple[tuple[Verdict, ...], ...]:
    """For each candidate, in the order of the task, a verdict per stated key and place.

    A denied value agrees with candidates that do not have it.
    """
    stated = list(statements(task.extracted))
    return tuple(
        tuple(Verdict(one.key, _verdict(one, one.level(known)), one.evidence) for one in stated)
        for known in task.attributes
    )


@dataclass(frozen=True)
class Statement:
    """The alternatives that one place of the review states for one key, by the extractors that say so."""

    key: str
    negated: bool
    voices: tuple[str, ...]
    evidence: Evidence
    values: tuple[NormalisedValue, ...]

    def level(self, attributes: Attributes) -> float | None:
        """The best agreement of the alternatives with a candidate, None for unknown."""
        values = known_values(self.key, attributes.get(self.key, ()))
        levels = [level for value in self.values if (level := agreement(value, values)) is not None]
        return max(levels, default=None)


def statements(extracted: Sequence[AttributeValue]) -> Iterator[Statement]:
    """Extracted values, those of one key and place together."""
    groups: dict[tuple[str, bool, tuple[str, ...], Evidence], list[NormalisedValue]] = {}
    for value in extracted:
        place = (value.key, value.negated, (value.source, *value.also), value.evidence)
        groups.setdefault(place, []).append(normalise(value.key, value.value))
    for (key, negated, voices, evidence), values in groups.items():
        yield Statement(key, negated, voices, evidence, tuple(values))


@lru_cache(maxsize=65_536)
def known_values(key: str, values: tuple[str, ...]) -> tuple[NormalisedValue, ...]:
    """A candidate's values in normal form."""
    return normalise_all(key, values)


def _verdict(statement: Statement, level: float | None) -> VerdictName:
    if level is None or (statement.negated and level == PARTIAL):
        return "unknown"
    return "agree" if (level > 0) != statement.negated else "conflict"

"""Conditions on a comparison of two runs, by which a check of a change fails: ``e2e<-1.0``, ``broken>5``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ameli_llm.errors import AmeliError, UnknownNameError
from eval.paired import Paired

MEASURES: Mapping[str, tuple[str, Callable[[Paired], float]]] = {
    "e2e": ("end-to-end F1 of B minus that of A, in points", lambda one: 100 * one.answered.difference.value),
    "fixed": ("reviews that only B has right", lambda one: len(one.answered.fixed)),
    "broken": ("reviews that only A has right", lambda one: len(one.answered.broken)),
    "p": ("exact p of fixed against broken", lambda one: one.answered.p),
    "errors": ("reviews of B that failed", lambda one: one.failed_b),
    "tokens": ("tokens of B minus those of A", lambda one: one.tokens["prompt"] + one.tokens["completion"]),
}
"""What a condition may be about: its meaning, and how it is read from a comparison."""

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(
    r"\s*([a-z0-9_]+)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Condition:
    """``measure`` of a comparison against a ``bound``."""

    measure: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.measure}{self.sign}{self.bound:g}"

    def value(self, paired: Paired) -> float:
        """The measure. Raises AmeliError where it cannot be told: no review was answered by both runs."""
        value = MEASURES[self.measure][1](paired)
        if math.isnan(value):
            raise AmeliError(
                f"Whether {self} cannot be told: the runs have no review with gold that both answered.",
                hint="See compare without --fail-on for what failed.",
            )
        return value

    def holds(self, paired: Paired) -> bool:
        """Whether it is so. Raises AmeliError where that cannot be told."""
        return _OPERATORS[self.sign](self.value(paired), self.bound)


def read_condition(text: str) -> Condition:
    """The condition that ``text`` says. Raises AmeliError with what can be said."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise AmeliError(
            f"{text!r} is no condition.",
            hint=f"It is a measure, <, <=, > or >=, and a number: e2e<-1.0. Measures: {', '.join(MEASURES)}.",
        )
    measure, sign, bound = match[1].lower(), match[2], float(match[3])
    if measure not in MEASURES:
        raise UnknownNameError("measure", measure, list(MEASURES))
    return Condition(measure, sign, bound)

"""Several comparators side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from ameli_llm.comparison.comparator import Comparison, ComparisonTask
from ameli_llm.comparison.panel import Panel, total
from ameli_llm.types import Evidence, Failure, Product, Review, State, Usage, Verdict

TASK = ComparisonTask(Review(1), (Product(1, "a"), Product(2, "b")), ({}, {}))


@dataclass(frozen=True)
class Always:
    """A comparator with one answer."""

    answer: Comparison
    name: str = "always"

    def compare(self, tasks: Sequence[ComparisonTask]) -> list[Comparison]:
        return [self.answer for _ in tasks]


ONE = Always(Comparison((1.0, 3.0), usage=Usage(10, 1)))
OTHER = Always(Comparison((2.0, -2.0), none_score=-5.0, usage=Usage(5, 0), orders=3, flips=1))
BROKEN = Always(Comparison(usage=Usage(7, 0), failure=Failure(State.INVALID_OUTPUT, "cut off")))


@pytest.mark.parametrize(
    ("weights", "scores"),
    [({}, (3.0, 1.0)), ({"other": 0.5}, (2.0, 2.0)), ({"one": 0.0, "other": 1.0}, (2.0, -2.0))],
)
def test_scores_add_up_by_weight(weights: dict[str, float], scores: tuple[float, ...]) -> None:
    (found,) = Panel({"one": ONE, "other": OTHER}, weights).compare([TASK])
    assert found.scores == scores
    assert found.by_comparator == {"one": (1.0, 3.0), "other": (2.0, -2.0)}
    assert (found.none_score, found.orders, found.flips) == (-5.0, 3, 1)
    assert found.usage == Usage(15, 1)


def test_one_failure_is_the_comparisons_and_its_tokens_count() -> None:
    (found,) = Panel({"one": ONE, "broken": BROKEN}, {}).compare([TASK])
    assert (found.scores, found.failure) == ((), Failure(State.INVALID_OUTPUT, "cut off"))
    assert found.usage == Usage(17, 1)


def test_a_single_comparator_is_what_it_was() -> None:
    assert Panel({"one": ONE}, {}).compare([TASK])[0].scores == ONE.answer.scores
    assert total({"one": (0.1, 0.2)}, {}) == (0.1, 0.2)
    assert Panel({"one": ONE, "other": OTHER}, {}).name == "one+other"


def test_verdicts_of_a_candidate_stand_side_by_side() -> None:
    agree, conflict = (Verdict("name", said, Evidence("body", 0, 1, "x")) for said in ("agree", "conflict"))
    some = Always(Comparison((0.0, 0.0), verdicts=((agree,), (conflict,))))
    more = Always(Comparison((0.0, 0.0), verdicts=((), (agree,))))
    (found,) = Panel({"one": ONE, "some": some, "more": more}, {}).compare([TASK])
    assert found.verdicts == ((agree,), (conflict, agree))
    assert Panel({"one": ONE}, {}).compare([TASK])[0].verdicts == ()

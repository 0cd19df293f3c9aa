from __future__ import annotations

import math
from typing import Any

import pytest

from ameli_llm.config import FusionConfig
from ameli_llm.fusion.combine import Decision, Parts, decide, demote, features, fuse
from ameli_llm.types import State

LINKED, NIL, ABSTAINED = State.LINKED, State.NIL, State.ABSTAINED


def ranked(ranking: list[tuple[float, Parts]]) -> list[tuple[int, float]]:
    return [(part.entity_id, score) for score, part in ranking]


@pytest.mark.parametrize(
    ("parts", "weights", "expected"),
    [
        ([], (1, 1, 1), []),
        ([Parts(5, 2.0)], (1, 1, 1), [(5, 2.0)]),
        ([Parts(1, 1.0, 0.0, 0.0), Parts(2, 0.0, 2.0, 4.0)], (1, 1, 0), [(2, 2.0), (1, 1.0)]),
        ([Parts(1, 1.0, 0.0, 0.0), Parts(2, 0.0, 2.0, 4.0)], (0, 0, 0.5), [(2, 2.0), (1, 0.0)]),
        # The missing text score is the mean of 1 and 3.
        (
            [Parts(1, 0.0, 1.0), Parts(2, 0.0, None), Parts(3, 0.0, 3.0)],
            (1, 1, 1),
            [(3, 3.0), (2, 2.0), (1, 1.0)],
        ),
        ([Parts(1, 0.5, None, None), Parts(2, 1.0, None, None)], (1, 5, 5), [(2, 1.0), (1, 0.5)]),
        ([Parts(1, 2.0), Parts(2, 1.0)], (-1, 0, 0), [(2, -1.0), (1, -2.0)]),
    ],
)
def test_the_weighted_sum(
    parts: list[Parts], weights: tuple[float, float, float], expected: list[tuple[int, float]]
) -> None:
    retrieval, text, image = weights
    assert ranked(fuse(1, parts, FusionConfig(retrieval=retrieval, text=text, image=image))) == expected


def test_the_order_of_the_candidates_decides_nothing() -> None:
    parts = [Parts(i, i % 3, None if i % 4 == 0 else i % 2, None) for i in range(12)]
    assert ranked(fuse(1, parts, FusionConfig())) == ranked(fuse(1, parts[::-1], FusionConfig()))


RANKING = [(4.0, Parts(1, 0.0)), (3.0, Parts(2, 0.0)), (2.0, Parts(3, 0.0))]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (set(), [(1, 4.0), (2, 3.0), (3, 2.0)]),
        ({1}, [(2, 3.0), (3, 2.0), (1, 1.0)]),
        ({1, 2}, [(3, 2.0), (1, 1.0), (2, 0.0)]),
        ({3}, [(1, 4.0), (2, 3.0), (3, -1.0)]),
        ({1, 2, 3}, [(1, 4.0), (2, 3.0), (3, 2.0)]),
        ({99}, [(1, 4.0), (2, 3.0), (3, 2.0)]),
    ],
)
def test_the_wrong_ones_go_below_all_others(wrong: set[int], expected: list[tuple[int, float]]) -> None:
    assert ranked(demote(RANKING, wrong)) == expected
    assert demote([], wrong) == []


def test_what_the_calibration_sees() -> None:
    assert features([0.0, 0.0], None) == {"share": 0.5, "margin": 0.0, "top": 0.0, "none": 0.0}
    assert features([3.0], math.log(0.25)) == {"share": 1.0, "margin": 0.0, "top": 3.0, "none": 0.25}
    seen = features([1.0, -1e9], 5.0)
    assert seen["share"] == pytest.approx(1.0)
    assert (seen["margin"], seen["none"]) == (1e9 + 1, 1.0)


@pytest.mark.parametrize(
    ("scores", "none", "config", "state", "confidence", "inside"),
    [
        ([0.0, 0.0], None, {}, LINKED, 0.5, 1.0),
        ([0.0, 0.0], math.log(0.75), {"nil_threshold": 0.25}, LINKED, 0.5, 0.25),
        ([0.0, 0.0], math.log(0.75), {"nil_threshold": 0.26}, NIL, 0.5, 0.25),
        ([0.0, 0.0], None, {"abstain_threshold": 0.5}, LINKED, 0.5, 1.0),
        ([0.0, 0.0], None, {"abstain_threshold": 0.51}, ABSTAINED, 0.5, 1.0),
        # Nil goes before abstention.
        ([0.0, 0.0], 0.0, {"nil_threshold": 0.1, "abstain_threshold": 0.9}, NIL, 0.5, 0.0),
        ([0.0], None, {"calibration": {"link": {"intercept": 0.0}}}, LINKED, 0.5, 1.0),
        (
            [2.0, 1.0],
            None,
            {"calibration": {"link": {"top": math.log(3) / 2}, "nil": {"intercept": -math.log(3)}}},
            LINKED,
            0.75,
            0.25,
        ),
    ],
)
def test_what_is_answered(
    scores: list[float],
    none: float | None,
    config: dict[str, Any],
    state: State,
    confidence: float,
    inside: float,
) -> None:
    decision = decide(scores, 7, none, FusionConfig(**config))
    assert decision == Decision(
        state, 7 if state is LINKED else None, pytest.approx(confidence), pytest.approx(inside)
    )

from __future__ import annotations

import math

import pytest

from ameli_llm.engines import choices
from ameli_llm.errors import AmeliError


def test_labels_are_letters_in_order() -> None:
    assert choices.labels(0) == ()
    assert choices.labels(3) == ("A", "B", "C")
    assert choices.labels(28)[-3:] == ("Z", "a", "b")
    assert len(set(choices.labels(52))) == 52


def test_more_labels_than_letters() -> None:
    with pytest.raises(
        AmeliError, match=r"^53 choices asked for; there are one-letter labels for at most 52\."
    ):
        choices.labels(53)


@pytest.mark.parametrize(
    ("raw", "shares"),
    [
        ({}, {}),
        ({"A": -3.0}, {"A": 1.0}),
        ({"A": 0.0, "B": 0.0}, {"A": 0.5, "B": 0.5}),
        ({"A": math.log(0.3), "B": math.log(0.1)}, {"A": 0.75, "B": 0.25}),
        ({"A": 500.0, "B": 500.0 - math.log(3)}, {"A": 0.75, "B": 0.25}),
        ({"A": -1.0, "B": -math.inf}, {"A": 1.0, "B": 0.0}),
        ({"A": -math.inf, "B": -math.inf}, {"A": 0.5, "B": 0.5}),
    ],
)
def test_normalise(raw: dict[str, float], shares: dict[str, float]) -> None:
    logprobs = choices.normalise(raw)
    assert {choice: math.exp(value) for choice, value in logprobs.items()} == pytest.approx(shares)
    assert all(math.isfinite(value) for value in logprobs.values())
    assert list(logprobs) == list(raw)


@pytest.mark.parametrize(
    ("tokens", "shares"),
    [
        ([("A", math.log(0.2)), ("B", math.log(0.6))], {"A": 0.25, "B": 0.75}),
        ([("B", math.log(0.6)), ("A", math.log(0.2)), ("C", -9999.0)], {"A": 0.25, "B": 0.75}),
        ([("A", math.log(0.1)), ("A", math.log(0.1)), ("B", math.log(0.6))], {"A": 0.25, "B": 0.75}),
        ([("B", -0.1), ("none", -0.2), ("A ", -0.3)], {"B": 1.0}),
        ([], {}),
    ],
    ids=[
        "plain",
        "other order, forbidden token",
        "two tokens of one text",
        "choice A is no token",
        "nothing",
    ],
)
def test_from_tokens(tokens: list[tuple[str, float]], shares: dict[str, float]) -> None:
    found = choices.from_tokens(("A", "B"), tokens)
    assert {choice: math.exp(value) for choice, value in found.items()} == pytest.approx(shares)
    assert list(found) == sorted(shares)

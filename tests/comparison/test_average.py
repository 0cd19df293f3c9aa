"""Scores averaged over candidate orders: equal ones are answered by chance, never by the size of an id."""

from __future__ import annotations

import pytest

from ameli_llm.comparison._model import average
from ameli_llm.ids import EntityId
from ameli_llm.ties import chance

REVIEW = 7


@pytest.mark.parametrize(
    ("orders", "mean", "flips"),
    [
        ([[1.0, 3.0]], (1.0, 3.0), 0),
        ([[1.0, 3.0], [5.0, 1.0]], (3.0, 2.0), 1),
        ([[1.0, 3.0, 9.0], [2.0, 3.0, 0.0]], (1.5, 3.0, 4.5), 1),  # the last is "none of these"
    ],
)
def test_mean_and_orders_with_another_first_choice(
    orders: list[list[float]], mean: tuple[float, ...], flips: int
) -> None:
    assert average(orders, REVIEW, [1, 2]) == (mean, flips)


@pytest.mark.parametrize("ids", [(1, 2), (2, 1), ("B1", "B2"), ("B2", "B1"), (900, "a")])
def test_equal_scores_are_answered_by_chance(ids: tuple[EntityId, ...]) -> None:
    first = min(range(2), key=lambda at: chance(REVIEW, ids[at]))
    preferred = [1.0 if at == first else 0.0 for at in range(2)]
    # On average both are equal, so the answer is the one that chance puts first: the other order flips.
    assert average([preferred, preferred[::-1]], REVIEW, ids) == ((0.5, 0.5), 1)
    assert average([preferred, preferred, [0.5, 0.5], [0.0, 0.0]], REVIEW, ids)[1] == 0


def test_the_size_of_an_id_decides_nothing() -> None:
    wins = sum(average([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], n, [1, 2])[1] for n in range(400))
    assert wins == 400, "one of the two sure orders flips, whichever it is"
    ahead = sum(chance(n, 1) < chance(n, 2) for n in range(400))
    assert 160 < ahead < 240

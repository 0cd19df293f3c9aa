from __future__ import annotations

import itertools

from ameli_llm.engines._prefixes import Group, batches, grouped

SYSTEM = [1] * 100
FIRST, SECOND = [*SYSTEM, *[2] * 70], [*SYSTEM, *[3] * 70]


def test_questions_about_two_reviews() -> None:
    """Both share the system prompt; the questions about one review share the review too."""
    sequences = [[*FIRST, 7], [*SECOND, 7], [*FIRST, 8, 8], [*SECOND, 9], [*SYSTEM, 4]]
    assert grouped(sequences) == Group(100, (4,), (Group(170, (0, 2)), Group(170, (1, 3))))


def test_the_order_decides_nothing_but_positions() -> None:
    sequences = [[*FIRST, 7], [*SECOND, 7], [*FIRST, 8], [*SECOND, 9]]

    def shape(group: Group, order: tuple[int, ...]) -> tuple[object, ...]:
        alone = sorted(order[at] for at in group.alone)
        return group.length, tuple(alone), frozenset(shape(branch, order) for branch in group.groups)

    plans = {
        shape(grouped([sequences[at] for at in order]), order) for order in itertools.permutations(range(4))
    }
    assert len(plans) == 1


def test_too_little_in_common_is_not_worth_a_step() -> None:
    assert grouped([[1] * 63 + [2], [1] * 63 + [3]]) == Group(0, (0, 1))
    assert grouped([[1] * 64 + [2], [1] * 64 + [3]]) == Group(64, (0, 1))
    assert grouped([[1] * 32 + [last] for last in (2, 3, 4)]) == Group(32, (0, 1, 2))


def test_a_sequence_keeps_its_last_token_even_when_others_begin_with_it() -> None:
    assert grouped([SYSTEM, SYSTEM, [*SYSTEM, 5]]) == Group(99, (0, 1, 2))
    assert grouped([SYSTEM]) == Group(0, (0,))
    assert grouped([[], [5]]) == Group(0, (0, 1))


def test_batches_hold_like_lengths_within_their_tokens() -> None:
    assert list(batches([(0, 90), (1, 10), (2, 12), (3, 500)], tokens=100, rows=8)) == [[1, 2], [0], [3]]
    assert list(batches([(at, 1) for at in range(5)], tokens=100, rows=2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], tokens=100, rows=2)) == []

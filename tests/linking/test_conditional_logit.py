from __future__ import annotations

import numpy as np
import pytest

from eval.tuning.conditional_logit import fit


def choices(weights: list[float], n: int, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    """Choices among 8 candidates by utilities with Gumbel noise: a conditional logit of these weights."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        scores = generator.normal(size=(8, len(weights)))
        made.append((scores, int(np.argmax(scores @ weights + generator.gumbel(size=8)))))
    return made


@pytest.mark.parametrize("true", [[1.0, 2.0], [0.5, 0.0, 1.5], [3.0]])
def test_known_weights_are_recovered(true: list[float]) -> None:
    found = fit(choices(true, 4000), len(true), ridge=0.0)
    assert found == pytest.approx(np.array(true), abs=0.12)


def test_the_scale_of_a_column_is_taken_back_in_its_weight() -> None:
    made = choices([1.0, 2.0], 500)
    plain = fit(made, 2)
    scaled = fit([(scores * [100.0, 1.0] + [7.0, 0.0], gold) for scores, gold in made], 2)
    assert scaled == pytest.approx(plain / [100.0, 1.0], rel=1e-3)


def test_weights_are_not_negative() -> None:
    assert fit(choices([-2.0, 1.0], 500), 2)[0] == 0.0


def test_a_column_that_never_varies_counts_nothing() -> None:
    made = [(np.column_stack([scores, np.full(8, 3.0)]), gold) for scores, gold in choices([1.0], 200)]
    assert fit(made, 2)[1] == 0.0


def test_the_order_of_the_candidates_decides_nothing() -> None:
    made = choices([1.0, 0.3], 200)
    turned = [(scores[::-1], len(scores) - 1 - gold) for scores, gold in made]
    assert fit(turned, 2) == pytest.approx(fit(made, 2), abs=1e-5)


def test_choices_of_different_sizes_and_of_one() -> None:
    made = choices([1.5], 600)
    mixed = [(scores[: gold + 2], gold) for scores, gold in made]
    assert fit(mixed, 1)[0] > 0.3
    assert fit([*mixed, (np.ones((1, 1)), 0)], 1) == pytest.approx(fit(mixed, 1))


@pytest.mark.parametrize("made", [[], [(np.ones((1, 3)), 0)]])
def test_nothing_to_learn_from(made: list[tuple[np.ndarray, int]]) -> None:
    assert fit(made, 3).tolist() == [1.0, 1.0, 1.0]


def test_a_perfect_retriever_has_a_finite_weight() -> None:
    perfect = [(np.eye(5)[:, :1] * 1.0, 0)] * 50
    (weight,) = fit(perfect, 1)
    assert 1.0 < weight < 100.0

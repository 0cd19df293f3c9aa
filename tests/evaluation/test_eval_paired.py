from __future__ import annotations

from collections.abc import Callable

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.runs import GoldRow, PredictionRow
from eval.paired import changed_settings, compare

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]


def test_fixed_broken_and_the_rest(predict: Predict, golds: Golds) -> None:
    scores = {1: 0.9, 2: 0.8}
    gold = golds(dict.fromkeys(range(1, 8), 1), category="Toys")
    a = [predict(i, 2 if i <= 3 else 1, scores, tokens={"prompt": 10}) for i in range(1, 7)]
    b = [predict(i, 1 if i <= 3 or i > 4 else 2, scores, tokens={"prompt": 7}) for i in range(1, 8)]
    paired = compare(a, gold, b, gold)
    assert (paired.shared, paired.only_a, paired.only_b) == (6, 0, 1)
    answered = paired.answered
    assert answered.fixed == (1, 2, 3)
    assert answered.broken == (4,)
    assert (answered.a.value, answered.b.value) == (3 / 6, 5 / 6)
    assert answered.difference.value == pytest.approx(2 / 6)
    assert answered.p == pytest.approx(0.625)
    assert paired.failures_as_wrong == answered
    assert paired.tokens == {"prompt": -18, "completion": 0, "cached": 0}
    assert [(w.name, w.n, w.fixed, w.broken) for w in paired.worst] == [("Toys", 6, 3, 1)]


def test_a_run_against_itself(predict: Predict, golds: Golds) -> None:
    rows, gold = [predict(1, 1, {1: 1.0}), predict(2, 1, {1: 1.0})], golds({1: 1, 2: 2})
    paired = compare(rows, gold, rows, gold)
    answered = paired.answered
    assert (answered.fixed, answered.broken, answered.p, paired.worst) == ((), (), 1.0, ())
    assert (answered.difference.low, answered.difference.high) == (0, 0)


def test_the_worst_part_comes_first_and_p_is_corrected(predict: Predict, golds: Golds) -> None:
    scores = {1: 0.9, 2: 0.8}
    gold = golds(dict.fromkeys(range(10), 1), category="Toys", slices=("hard",))
    gold |= golds(dict.fromkeys(range(10, 20), 1), category="Hoods")
    a = [predict(i, 1 if i < 10 else 2, scores) for i in range(20)]
    b = [predict(i, 2 if i < 6 else 1, scores) for i in range(20)]
    worst = compare(a, gold, b, gold).worst
    assert [(w.kind, w.name, w.fixed, w.broken) for w in worst] == [
        ("category", "Toys", 0, 6),
        ("slice", "hard", 0, 6),
        ("category", "Hoods", 10, 0),
    ]
    assert worst[0].p == pytest.approx(0.03125)
    assert worst[0].q >= worst[0].p


def test_nil_counts_as_right_where_the_product_is_missing(predict: Predict, golds: Golds) -> None:
    gold = golds({1: None})
    paired = compare([predict(1, 1, {1: 1.0})], gold, [predict(1, None, {1: 1.0}, state="nil")], gold)
    assert paired.answered.fixed == (1,)


def test_runs_of_different_reviews_are_refused(predict: Predict, golds: Golds) -> None:
    one, two = [predict(1, 1, {1: 1.0})], [predict(2, 1, {1: 1.0})]
    with pytest.raises(AmeliError, match=r"share no review with gold \(1 in A, 1 in B\)"):
        compare(one, golds({1: 1}), two, golds({2: 1}))
    with pytest.raises(AmeliError, match="The right product of review 1 is 1 in A and 2 in B"):
        compare(one, golds({1: 1}), one, golds({1: 2}))


def test_changed_settings_are_leaves() -> None:
    a = {"config": {"fusion": {"text": 1.0, "image": 0.5}}, "templates": {"compare": "aa"}}
    b = {"config": {"fusion": {"text": 2.0, "image": 0.5}}, "templates": {"compare": "bb", "extract": "cc"}}
    assert changed_settings(a, b) == {
        "config.fusion.text": (1.0, 2.0),
        "templates.compare": ("aa", "bb"),
        "templates.extract": (None, "cc"),
    }

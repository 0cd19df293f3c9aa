"""The sum and its weights as tables of small lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ameli_llm.types import AttributeValue, Candidate, Evidence, Review
from eval.baselines.amelink.combination import (
    Combination,
    Parts,
    choose,
    combined,
    expected_hits,
    literal_mismatch,
    retrieval_scores,
)
from eval.baselines.amelink.settings import PRESETS, parsed
from eval.baselines.baseline import Task

NAN = float("nan")
ONES = {"text": 1.0, "image": 1.0, "retrieval": 1.0}


def parts(text: Any = None, image: Any = None, retrieval: Any = None, wrong: Any = None) -> Parts:
    scores = [None if one is None else np.array(one, np.float32) for one in (text, image, retrieval)]
    length = next(len(one) for one in scores if one is not None)
    return Parts(*scores, np.array(wrong or [False] * length, np.bool_))


def raw(**changes: Any) -> Any:
    return parsed({**PRESETS["paper"].model_dump(), "scale": "raw", **changes})


def total(one: Parts, settings: Any, **weights: float) -> list[float]:
    return [round(value, 6) for value in combined(one, Combination(weights, ONES), settings).tolist()]


def test_the_papers_sum() -> None:
    one = parts([2, 0, 1], [0.5, 0.9, 0.1])
    assert total(one, raw(), text=0.3, image=0.7) == [0.95, 0.63, 0.37]


def test_the_official_three_way_sum() -> None:
    settings = parsed({**PRESETS["official"].model_dump()})
    one = parts([np.log(3), 0], [0, np.log(4)], [0.8, 0.2])
    text = [1 / (1 + np.exp(-share)) for share in (0.75, 0.25)]
    expected = [0.2 * 0.8 + 0.5 * text[0] + 0.3 * 0.2, 0.2 * 0.2 + 0.5 * text[1] + 0.3 * 0.8]
    found = total(one, settings, retrieval=0.2, text=0.5, image=0.3)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("missing", "expected"), [("mean", [0.5, 0.9, 0.7]), ("minus_one", [0.5, 0.9, -1.0])]
)
def test_a_missing_score(missing: str, expected: list[float]) -> None:
    assert total(parts(image=[0.5, 0.9, NAN]), raw(missing=missing), image=1.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ([False, False, False], [3, 2, 1]),
        ([True, False, False], [0, 2, 1]),
        ([True, True, False], [0, -1, 1]),
        ([True, True, True], [3, 2, 1]),
    ],
)
def test_wrong_candidates_go_below_the_others_unless_all_are(
    wrong: list[bool], expected: list[float]
) -> None:
    assert total(parts([3, 2, 1], wrong=wrong), raw(), text=1.0) == expected


@pytest.mark.parametrize(
    ("totals", "gold", "expected"),
    [
        ([[1, 2]], [1], 1.0),
        ([[1, 2]], [0], 0.0),
        ([[1, 1, 1, 1]], [2], 0.25),
        ([[1, 2], [5, 5]], [1, 0], 0.75),
        ([[1, 2], [1, 2]], [1, -1], 1.0),
        ([[1, 2]], [-1], 0.0),
    ],
)
def test_expected_hits(totals: list[list[float]], gold: list[int], expected: float) -> None:
    assert expected_hits([np.array(one, float) for one in totals], gold) == expected


def test_weights_are_those_with_the_best_f1_on_dev_and_of_equals_the_middle_ones() -> None:
    settings = raw()
    text_is_right = [parts([1, 0], [0, 0.1])] * 3
    assert choose(text_is_right, [0] * 3, ["text", "image"], settings)[0].weights == {
        "text": 0.5,
        "image": 0.5,
    }
    image_is_right = [parts([0, 10], [1, 0])] * 3
    chosen, f1 = choose(image_is_right, [0] * 3, ["text", "image"], settings)
    assert chosen.weights == {"text": 0.0, "image": 1.0}
    assert f1 == 1.0


def test_a_spread_of_a_hundredth_gets_a_grid_that_is_fine_enough() -> None:
    """Text from -10 to 10 beside cosines that differ by .01: both have to count for both lists."""
    lists = [parts([10, 9, -10], [0.5, 0.51, 0.5]), parts([10, -10, 9.9], [0.5, 0.51, 0.5])]
    gold = [1, 0]
    _, fine = choose(lists, gold, ["text", "image"], PRESETS["paper"])
    _, coarse = choose(lists, gold, ["text", "image"], raw())
    assert fine == 1.0
    assert coarse == 0.5


def test_spreads_do_not_look_at_gold() -> None:
    lists = [parts([1, 0, 4], [0.3, 0.2, 0.1]), parts([1, 2, 3], [NAN, NAN, NAN])]
    sizes = [choose(lists, gold, ["text", "image"], PRESETS["paper"])[0].sizes for gold in ([0, 1], [2, -1])]
    assert sizes[0] == sizes[1]


def test_the_official_grid() -> None:
    lists = [parts([1, 0], [1, 0], [1, 0])]
    weights = choose(lists, [0], ["retrieval", "text", "image"], PRESETS["official"])[0].weights
    assert sum(weights.values()) == pytest.approx(1.0)
    assert 0.1 <= weights["retrieval"] <= 0.8
    assert 0.1 <= weights["text"] <= 0.8


def stated(key: str, value: str, negated: bool = False) -> AttributeValue:
    return AttributeValue(key, value, "rules", Evidence("body", 0, 1, value), negated)


@pytest.mark.parametrize(
    ("extracted", "attributes", "mismatch"),
    [
        ([stated("Color", "RED")], {"Color": ("Red",)}, False),
        ([stated("Color", "Crimson red")], {"Color": ("Red",)}, True),
        ([stated("Capacity", "1 TB")], {"Capacity": ("1000 gigabytes",)}, True),
        ([stated("Color", "Red")], {"Size": ("L",)}, False),
        ([stated("Color", "Red", negated=True)], {"Color": ("Blue",)}, False),
        ([stated("Color", "Red"), stated("Color", "Blue")], {"Color": ("Blue",)}, False),
        ([], {"Color": ("Blue",)}, False),
    ],
)
def test_the_official_filter_compares_strings(
    extracted: list[AttributeValue], attributes: dict[str, tuple[str, ...]], mismatch: bool
) -> None:
    assert literal_mismatch(extracted, attributes) == mismatch


def test_a_single_modality_has_its_own_retrieval_score() -> None:
    task = Task(Review(1), (Candidate(1, 0.7, {"sbert": 0.5, "image": 0.4}), Candidate(2, 0.6, {})))
    found = {only: retrieval_scores(task, only).tolist() for only in ("", "text", "image")}
    assert found[""] == pytest.approx([0.7, 0.6])
    assert found["text"] == pytest.approx([0.5, NAN], nan_ok=True)
    assert found["image"] == pytest.approx([0.4, NAN], nan_ok=True)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ameli_llm.config import FusionConfig
from ameli_llm.runs import GoldRow, PredictionRow
from eval.measures.error_budget import CAUSES, cause_of, error_budget
from eval.measures.judged import Judged, judge

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]

RED = {
    "key": "Color",
    "value": "Red",
    "source": "rules",
    "evidence": {"field": "body", "start": 0, "end": 3, "text": "red"},
}
BOTH = FusionConfig(retrieval=1.0, text=1.0, image=1.0)


@pytest.mark.parametrize(
    ("expected", "state", "answer", "gold", "parts", "attributes"),
    [
        (None, "linked", 1, 1, {}, []),
        (None, "nil", None, None, {}, []),
        ("failed", "invalid_output", None, 1, {}, []),
        ("failed", "engine_error", None, None, {}, []),
        ("nil_linked", "linked", 1, None, {}, []),
        ("withheld", "abstained", None, None, {}, []),
        ("not_retrieved", "linked", 1, 3, {}, []),
        ("not_retrieved", "abstained", None, 99, {}, []),
        ("withheld", "nil", None, 2, {}, []),
        ("withheld", "abstained", None, 1, {}, []),
        ("image_misled", "linked", 1, 2, {1: (0.1, 0.9), 2: (0.5, 0.0)}, []),
        ("fusion_flipped", "linked", 1, 2, {1: (0.1, 0.9), 2: (0.15, 0.0)}, []),
        ("fusion_flipped", "linked", 1, 2, {1: (0.9, 0.1), 2: (0.1, 0.2)}, []),
        ("attributes_wrong", "linked", 1, 2, {1: (0.9, 0.1), 2: (0.1, 0.1)}, [RED]),
        ("comparison_wrong", "linked", 1, 2, {1: (0.9, 0.1), 2: (0.1, 0.1)}, []),
        ("comparison_wrong", "linked", 1, 2, {}, []),
    ],
)
def test_every_cause(
    predict: Predict,
    golds: Golds,
    expected: str | None,
    state: str,
    answer: int | None,
    gold: int | None,
    parts: Any,
    attributes: Any,
) -> None:
    """Retrieval prefers product 1 by 0.2 to product 2; product 3 is beyond K = 2; the right one is blue."""
    row = predict(1, answer, {1: 0.9, 2: 0.7, 3: 0.1}, parts=parts, state=state, attributes=attributes)
    one = Judged(row, golds({1: gold}, attributes={"Color": ("Blue",)})[1])
    assert cause_of(one, 2, BOTH) == expected


def test_an_image_without_weight_misleads_nobody(predict: Predict, golds: Golds) -> None:
    row = predict(1, 1, {1: 0.9, 2: 0.7}, parts={1: (0.1, 0.9), 2: (0.5, 0.0)})
    one = Judged(row, golds({1: 2})[1])
    assert cause_of(one, 2, FusionConfig(image=0.0)) == "fusion_flipped"


def test_the_causes_add_up_to_the_errors(predict: Predict, golds: Golds) -> None:
    rows = [
        predict(1, 1, {1: 0.9, 2: 0.7}),
        predict(2, 1, {1: 0.9, 2: 0.7}),
        predict(3, 1, {1: 0.9, 2: 0.7}),
        predict(4, None, {1: 0.9}, state="engine_error"),
    ]
    budget = error_budget(judge(rows, golds({1: 1, 2: 2, 3: None, 4: 1})), 2, BOTH)
    assert (budget.n, budget.errors) == (4, 3)
    assert sum(budget.causes.values()) == 3
    assert list(budget.causes) == list(CAUSES)
    assert {cause for cause, count in budget.causes.items() if count} == {
        "failed",
        "nil_linked",
        "comparison_wrong",
    }

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ameli_llm.config import RunConfig
from ameli_llm.errors import AmeliError
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from ameli_llm.types import State
from eval.evaluation import evaluate, evaluate_run, write_evaluation

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]


def metrics(rows: Iterable[PredictionRow], gold: Mapping[Any, GoldRow], k: int, **options: Any) -> Any:
    """The metrics of rows, of which ``k`` candidates were compared and ``depth`` kept."""
    sizes = {"candidates": k, "depth": options.pop("depth", 100)}
    config = RunConfig.model_validate({"retrieval": sizes})
    return SimpleNamespace(**evaluate(list(rows), gold, config, **options).metrics)


@pytest.fixture
def four(predict: Predict, golds: Golds) -> tuple[list[PredictionRow], dict[int, GoldRow]]:
    """Right; wrong although gold is second; gold not retrieved; not in the KB and linked all the same."""
    scores = {1: 0.9, 2: 0.8, 3: 0.7}
    rows = [predict(i, 1, scores) for i in (10, 20, 30, 40)]
    return rows, golds({10: 1, 20: 2, 30: 9, 40: None})


def test_four_reviews_by_eye(four: tuple[list[PredictionRow], dict[int, GoldRow]]) -> None:
    m = metrics(*four, k=3)
    assert (m.n, m.with_gold, m.in_kb, m.products) == (4, 4, 3, 3)
    assert m.recall["1"] is not None
    assert m.recall["10"] is not None
    assert m.recall["1"].value == pytest.approx(1 / 3)
    assert m.recall["10"].value == pytest.approx(2 / 3)
    assert m.recall["10"].n == 3
    assert m.disambiguation_f1.value == 0.5
    assert m.disambiguation_f1.n == 2
    assert m.end_to_end_f1.value == pytest.approx(2 * 1 / (4 + 3))
    assert m.precision.value == 0.25
    assert m.accuracy.value == 0.25


def test_f1_is_accuracy_when_all_are_linked_and_in_the_kb(predict: Predict, golds: Golds) -> None:
    rows = [predict(i, 1, {1: 1.0, 2: 0.5}) for i in range(8)]
    m = metrics(rows, golds({i: 1 if i < 3 else 2 for i in range(8)}), k=10)
    assert m.end_to_end_f1.value == m.accuracy.value == 3 / 8


@pytest.mark.parametrize(
    ("state", "answer", "gold", "right"),
    [
        ("linked", 1, 1, True),
        ("linked", 2, 1, False),
        ("linked", 1, None, False),
        ("nil", None, None, True),
        ("nil", None, 1, False),
        ("abstained", None, 1, False),
        ("abstained", None, None, False),
        ("invalid_output", None, 1, False),
        ("engine_error", None, None, False),
    ],
)
def test_every_state(
    predict: Predict, golds: Golds, state: str, answer: int | None, gold: int | None, right: bool
) -> None:
    m = metrics([predict(5, answer, {1: 0.9, 2: 0.8}, state=state)], golds({5: gold}), k=10)
    assert m.accuracy.value == right
    assert m.states == {s.value: int(s.value == state) for s in State}


def test_the_states_add_up_to_the_input(predict: Predict, golds: Golds) -> None:
    rows = [predict(i, None, state=state.value) for i, state in enumerate(State)]
    m = metrics(rows, golds({0: 1}), k=10)
    assert sum(m.states.values()) == m.n == 5
    assert m.with_gold == 1


def test_equal_retrieval_scores_rank_by_chance(predict: Predict, golds: Golds) -> None:
    rows = [predict(1, 3, {3: 0.5, 2: 0.5})]
    for gold, value in ((2, 1.0), (3, 0.0)):
        recall = metrics(rows, golds({1: gold}), k=1).recall["1"]
        assert recall is not None
        assert recall.value == value


def test_a_constant_scorer_is_at_chance_whatever_the_order(predict: Predict, golds: Golds) -> None:
    rng = random.Random(0)
    gold = {i: rng.randrange(10) for i in range(500)}
    orders = [list(range(10)), list(reversed(range(10)))]
    seen = []
    for order in orders:
        rows = [predict(i, 0, dict.fromkeys(order, 0.5)) for i in gold]
        m = metrics(rows, golds(gold), k=10)
        assert m.recall["1"] is not None
        assert m.recall["1"].low <= 0.1 <= m.recall["1"].high
        seen.append(m.end_to_end_f1)
    assert seen[0] == seen[1]


def test_recall_beyond_what_was_kept_is_unknown(predict: Predict, golds: Golds) -> None:
    m = metrics([predict(1, 1, {1: 1.0})], golds({1: 1}), k=10, depth=20)
    assert [k for k, value in m.recall.items() if value is None] == ["50", "100"]


def test_a_review_without_candidates_is_a_miss(predict: Predict, golds: Golds) -> None:
    m = metrics([predict(1, None), predict(2, 1, {1: 1.0})], golds({1: 1, 2: 1}), k=10)
    assert m.recall["100"] is not None
    assert m.recall["100"].value == 0.5


def test_counts_of_tokens_flips_and_extraction(predict: Predict) -> None:
    def value(source: str) -> dict[str, Any]:
        place = {"field": "body", "start": 0, "end": 3, "text": "red"}
        return {"key": "Color", "value": "Red", "source": source, "evidence": place}

    rows = [
        predict(1, 1, {1: 1.0}, orders=4, flips=1, tokens={"prompt": 5, "completion": 2, "cached": 1}),
        predict(2, 1, {1: 1.0}, attributes=[value("llm"), value("ocr")], dropped={"no_span": 2}),
        predict(3, 1, {1: 1.0}, attributes=[value("llm")], dropped={"no_span": 1, "unknown_key": 1}),
    ]
    m = metrics(rows, {}, k=10)
    assert m.tokens == {"prompt": 5, "completion": 2, "cached": 1}
    assert m.flips == {"orders": 4, "flips": 1, "reviews": 1, "rate": 0.25}
    assert m.extraction == {
        "values": 3,
        "reviews_with_values": 2,
        "by_source": {"llm": 2, "ocr": 1},
        "dropped": {"no_span": 3, "unknown_key": 1},
    }


def test_a_review_predicted_twice_is_refused(predict: Predict, golds: Golds) -> None:
    with pytest.raises(AmeliError, match=r"Review 7 was predicted twice\."):
        metrics([predict(7, 1, {1: 1.0}), predict(7, 2, {2: 1.0})], golds({7: 1}), k=10)


def test_no_predictions_measure_nothing() -> None:
    m = metrics([], {}, k=10)
    assert m.n == 0
    assert math.isnan(m.end_to_end_f1.value)
    assert m.end_to_end_f1.n == 0
    document = evaluate([], {}, RunConfig()).document()
    assert document["end_to_end_f1"] == {"value": None, "low": None, "high": None, "n": 0}


def test_official_counting_drops_the_last_batch_and_forces_an_answer(predict: Predict, golds: Golds) -> None:
    rows = [predict(i, None, {1: 0.9, 2: 0.1}, state="abstained") for i in range(10)]
    gold = golds({i: 1 if i < 4 else 2 for i in range(10)})
    honest, official = metrics(rows, gold, k=10), metrics(rows, gold, k=10, official_batch=8)
    assert honest.end_to_end_f1.value == 0
    assert official.end_to_end_f1.value == 0.5
    assert (official.protocol.name, official.protocol.reviews_dropped) == ("official", 2)
    assert official.with_gold == 8
    assert sum(official.states.values()) == 10


def test_the_order_of_lines_does_not_matter_to_a_byte(
    four: tuple[list[PredictionRow], dict[int, GoldRow]], write_run: Callable[..., RunFolder]
) -> None:
    rows, gold = four
    texts = []
    for name, order in (("one", rows), ("two", rows[::-1])):
        run = write_run(order, gold, name)
        write_evaluation(run, evaluate_run(run))
        texts.append((run.path / "metrics.json").read_bytes())
    assert texts[0] == texts[1]
    assert list(json.loads(texts[0]))[-1] == "seconds"


def test_only_seconds_differ_between_two_equal_runs(predict: Predict, golds: Golds) -> None:
    documents = []
    for seconds in (0.1, 0.3):
        row = predict(1, 1, {1: 1.0}, seconds=seconds, stage_seconds={"retrieval": seconds})
        documents.append(evaluate([row], golds({1: 1}), RunConfig()).document())
    spent = [document.pop("seconds") for document in documents]
    assert documents[0] == documents[1]
    assert spent == [{"retrieval": 0.1, "total": 0.1}, {"retrieval": 0.3, "total": 0.3}]


def test_a_broken_line_is_named_and_a_torn_one_is_ignored(
    four: tuple[list[PredictionRow], dict[int, GoldRow]],
    write_run: Callable[..., RunFolder],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = write_run(*four)
    path = run.path / "predictions.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"review_id": 5, "sta')
    assert evaluate_run(run).metrics["n"] == 4
    assert "line 5 is torn and ignored" in caplog.text
    path.write_text(whole + "{}\n" + whole.splitlines()[0] + "\n")
    with pytest.raises(AmeliError, match="line 5"):
        evaluate_run(run)


def test_an_empty_run_is_refused(write_run: Callable[..., RunFolder], tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="has no predictions yet"):
        evaluate_run(write_run([], {}))
    with pytest.raises(AmeliError, match="is not a run folder"):
        evaluate_run(RunFolder(tmp_path / "nowhere"))


def test_slices_and_categories(predict: Predict, golds: Golds) -> None:
    rows = [predict(i, 1, {1: 0.9, 2: 0.5}) for i in range(4)]
    gold = golds({0: 1, 1: 1}, category="Blenders", slices=("copied",)) | golds({2: 2, 3: 1}, category="Toys")
    evaluation = evaluate(rows, gold, RunConfig())
    scores = {part.name: (part.n, part.end_to_end_f1.value) for part in evaluation.metrics["by_category"]}
    assert scores == {"Blenders": (2, 1.0), "Toys": (2, 0.5)}
    scores = {part.name: (part.n, part.end_to_end_f1.value) for part in evaluation.metrics["by_slice"]}
    assert scores == {"copied": (2, 1.0), "not copied": (2, 0.5)}


def test_attributes_against_the_right_and_the_linked_product(predict: Predict, golds: Golds) -> None:
    def value(key: str, stated: str, negated: bool = False) -> dict[str, Any]:
        place = {"field": "body", "start": 0, "end": 3, "text": "red"}
        return {"key": key, "value": stated, "source": "rules", "evidence": place, "negated": negated}

    rows = [
        predict(1, 1, {1: 1.0}, attributes=[value("Color", "Red"), value("Capacity", "1 TB")]),
        predict(2, 1, {1: 1.0}, attributes=[value("Color", "Blue")]),
        predict(
            3, 1, {1: 1.0}, attributes=[value("Color", "Red", negated=True), value("Weight", "3 pounds")]
        ),
    ]
    rows[0] = rows[0].model_copy(
        update={
            "evidence": predict(
                1, 1, evidence=[{"entity_id": 1, "key": "Color", "verdict": "agree"}]
            ).evidence
        }
    )
    gold = golds({1: 1, 2: 1, 3: 1}, attributes={"Color": ("red",), "Capacity": ("1000 gigabytes",)})
    found = {a.key: a for a in evaluate(rows, gold, RunConfig()).metrics["by_attribute"]}
    assert found["Color"].right_product == {"agree": 1, "conflict": 2, "unknown": 0}
    assert found["Color"].linked_product == {"agree": 1, "conflict": 0, "unknown": 0}
    assert found["Capacity"].right_product == {"agree": 1, "conflict": 0, "unknown": 0}
    assert found["Weight"].right_product == {"agree": 0, "conflict": 0, "unknown": 1}

"""Counting as the official code does, and what a result says of the leaks that it has and has not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import pytest

from ameli_llm.config import FusionConfig, RunConfig
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.evaluation import evaluate, evaluate_run
from eval.official.leaks import OF_TRAINING, OUTSIDE, SAYS, Official, Trained
from eval.official.scores import not_reproduced, reweighted, weights_on


def rows_for_weights(predict: Callable[..., PredictionRow]) -> list[PredictionRow]:
    """Retrieval and text are for product 1, image is for product 2, which is right."""
    return [
        predict(i, 1, {1: 0.9, 2: 0.8}, parts={1: (1.0, 0.1), 2: (0.0, 0.2)}, compared=2) for i in range(8)
    ]


def test_weights_are_chosen_on_the_reported_split_only_officially(
    predict: Callable[..., PredictionRow], golds: Callable[..., dict[int, GoldRow]]
) -> None:
    rows, gold = rows_for_weights(predict), golds(dict.fromkeys(range(8), 2))
    config = RunConfig.model_validate({"fusion": {"retrieval": 1.0, "text": 1.0, "image": 0.0}})
    honest = evaluate(rows, gold, config).metrics
    assert (honest["end_to_end_f1"].value, honest["protocol"].reproduced) == (0.0, ())
    official = evaluate(rows, gold, config, official_batch=8).metrics
    assert official["end_to_end_f1"].value == 1.0
    assert official["protocol"].reproduced == (SAYS["weights_on_reported_split"],)
    unweighted = evaluate(rows, gold, config, 8, Official.of(())).metrics
    assert (unweighted["end_to_end_f1"].value, unweighted["protocol"].reproduced) == (0.0, ())


def test_the_configured_weights_stay_when_none_are_better(predict: Callable[..., PredictionRow]) -> None:
    fusion = FusionConfig(retrieval=1.0, text=0.5, image=0.0)
    assert weights_on(rows_for_weights(predict), dict.fromkeys(range(8), 1), fusion) == fusion


@pytest.mark.parametrize(
    ("parts", "gold", "filtered"),
    [
        ({1: (1.0, 0.1), 2: (0.0, 0.2)}, 2, True),
        ({1: (None, None), 2: (None, None)}, 2, False),
        ({1: (1.0, 0.1), 2: (0.0, 0.2)}, 9, False),
    ],
)
def test_where_there_is_no_choice_of_weights_it_says_so(
    predict: Callable[..., PredictionRow], parts: Mapping[int, Any], gold: int, filtered: bool
) -> None:
    row = predict(1, 1, {1: 0.9, 2: 0.8}, parts=parts, compared=2)
    config = RunConfig.model_validate({"fusion": {"mismatch_filter": filtered}})
    assert weights_on([row], {1: gold}, config.fusion) is None
    protocol = evaluate([row], {1: GoldRow(gold=gold)}, config, 1, Official()).metrics["protocol"]
    assert SAYS["weights_on_reported_split"] not in protocol.reproduced
    assert [m for m in protocol.not_reproduced if m.startswith(SAYS["weights_on_reported_split"])] == [
        "fusion weights chosen on the reported split "
        "(nothing to choose by, or the mismatch filter follows the sum)"
    ]


def test_reweighting_moves_the_compared_candidates_only(predict: Callable[..., PredictionRow]) -> None:
    scores = {1: 0.9, 2: 0.8, 3: 0.1}
    row = predict(1, 1, scores, parts={1: (1.0, 0.1), 2: (0.0, 0.2)}, compared=2)
    moved = reweighted(row, FusionConfig(retrieval=0.0, text=0.0, image=1.0))
    assert [(c.entity_id, c.score) for c in moved.candidates[:2]] == [(2, 0.2), (1, 0.1)]
    assert moved.candidates[2] == row.candidates[2]
    assert (moved.state, moved.entity_id) == (row.state, row.entity_id)


# Names


def test_every_leak_has_one_setting_or_a_reason() -> None:
    assert [setting.name for setting in fields(Official)] == list(SAYS)
    assert Official().names == tuple(SAYS)
    assert Official.of(()).names == ()
    trained = Trained(tuple(OF_TRAINING))
    assert not_reproduced(Official(), trained, linked=True) == tuple(f"{n} ({r})" for n, r in OUTSIDE.items())
    counted = not_reproduced(Official.of(["weights_on_reported_split"]), trained, linked=False)
    assert len(counted) == len(SAYS) - 1 + len(OUTSIDE)
    assert counted[0] == f"{SAYS['gold_inserted']} (it has to be done when linking: link --official)"


IMAGE, ATTRIBUTES = OF_TRAINING.values()
UNTRAINED, OTHERWISE = "the baseline is not trained", "the baseline's weights were trained without it"


@pytest.mark.parametrize(
    ("described", "reproduced", "missing"),
    [
        (None, [], [f"{IMAGE} (link trains nothing)", f"{ATTRIBUTES} (link trains nothing)"]),
        ({"seed": 1}, [], [f"{IMAGE} ({UNTRAINED})", f"{ATTRIBUTES} ({UNTRAINED})"]),
        ({"leaks": []}, [], [f"{IMAGE} ({OTHERWISE})", f"{ATTRIBUTES} ({OTHERWISE})"]),
        ({"leaks": ["image_chosen_with_gold"]}, [IMAGE], [f"{ATTRIBUTES} ({OTHERWISE})"]),
        ({"leaks": ["image_chosen_with_gold", "attributes_from_gold"]}, [IMAGE, ATTRIBUTES], []),
        (
            {"leaks": ["a_later_one"]},
            ["a_later_one"],
            [f"{IMAGE} ({OTHERWISE})", f"{ATTRIBUTES} ({OTHERWISE})"],
        ),
    ],
    ids=["our linker", "random", "trained without", "image", "both", "unknown"],
)
def test_leaks_of_training_are_those_that_the_baseline_lists(
    described: Any,
    reproduced: list[str],
    missing: list[str],
    predict: Callable[..., PredictionRow],
    write_run: Callable[..., RunFolder],
) -> None:
    spec: dict[str, Any] = {"config": {}}
    if described is not None:
        spec["baseline"] = {"name": "v2vel", "variant": "", "described": described}
    run = write_run([predict(1, 1, {1: 0.9, 2: 0.8})], {1: GoldRow(gold=1)}, "run", spec)
    official = evaluate_run(run, official_batch=1).metrics["protocol"]
    assert list(official.reproduced) == reproduced
    assert [one for one in official.not_reproduced if one.startswith((IMAGE, ATTRIBUTES))] == missing
    assert evaluate_run(run).metrics["protocol"].reproduced == (), "the honest protocol names none"

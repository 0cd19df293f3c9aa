"""Gold decides nothing: predictions are the same whatever it says, and with no evidence they are chance."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.linking.contract import lines

SPENT = ("seconds", "stage_seconds")


def predictions(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in SPENT} for row in lines(run)]


def another(reviews: list[dict[str, Any]]) -> None:
    for number, review in enumerate(reviews):
        review["gold_entity_info"] = {"id": 1 + number % 24, "product_name": "Another"}


def none(reviews: list[dict[str, Any]]) -> None:
    for review in reviews:
        del review["gold_entity_info"]


def outside(reviews: list[dict[str, Any]]) -> None:
    for review in reviews:
        review["gold_entity_info"] = {"id": None}


@pytest.mark.parametrize("change", [another, none, outside])
def test_gold_changes_no_prediction(
    linked: tuple[Path, list[object]],
    here: Callable[..., Any],
    copied: Callable[..., Path],
    in_index: tuple[str, str],
    cheap: tuple[str, ...],
    tmp_path: Path,
    change: Callable[..., None],
) -> None:
    run = tmp_path / "run"
    assert here("link", copied(change), "--split", "test", "--out", run, *in_index, *cheap).code == 0
    assert predictions(run) == predictions(linked[0])


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_a_constant_scorer_is_right_as_often_as_chance(
    here: Callable[..., Any],
    copied: Callable[..., Path],
    in_index: tuple[str, str],
    tmp_path: Path,
    seed: int | None,
) -> None:
    """Ten reviews of each of the 24 products, in any order, of reviews and of products."""

    def one_of_each(reviews: list[dict[str, Any]]) -> list[dict[str, Any]]:
        golds = list(range(1, 25)) * 10
        if seed is not None:
            random.Random(seed).shuffle(golds)
        gold = [{"id": product, "product_name": "x"} for product in golds]
        return [reviews[0] | {"review_id": n, "gold_entity_info": g} for n, g in enumerate(gold)]

    root, run = copied(one_of_each), tmp_path / "run"
    if seed is not None:
        products = json.loads((root / "products.json").read_text("utf-8"))
        random.Random(seed).shuffle(products)
        (root / "products.json").write_text(json.dumps(products), encoding="utf-8")
    constant = ("retrieval.weights={title: 0.0}", "attributes.extractors=[]", "comparison.comparator=none")
    options = [word for setting in constant for word in ("--set", setting)]
    done = here("link", root, "--split", "test", "--out", run, *in_index, *options, "--json")
    metrics = done.json["metrics"]
    for share, found in (
        (1 / 24, metrics["recall"]["1"]),
        (10 / 24, metrics["recall"]["10"]),
        (1 / 24, metrics["end_to_end_f1"]),
        (1 / 10, metrics["disambiguation_f1"]),
    ):
        assert abs(found["value"] - share) < 4 * math.sqrt(share * (1 - share) / found["n"])

"""What ``link`` records and prints of leaks: the dataset's, and those that ``--official`` takes over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.official.leaks import SAYS
from tests.linking.contract import conforms, metrics_but_seconds


def document(run: Path, name: str) -> Any:
    return json.loads((run / name).read_text(encoding="utf-8"))


def test_a_run_says_what_its_reviews_give_away(
    here: Callable[..., Any],
    copied: Callable[..., Path],
    in_index: tuple[str, str],
    cheap: tuple[str, ...],
    tmp_path: Path,
) -> None:
    def leaking(reviews: list[dict[str, Any]]) -> None:
        for number, review in enumerate(reviews, start=1):
            review["gold_entity_info"] = {"id": number}
        reviews[2]["body"] = f"It is the {titles[3].upper()}, no doubt."

    def gold(*products: int) -> str:
        reviews = [
            {"review_id": n, "header": "", "body": "x", "mention": "x", "gold_entity_info": {"id": product}}
            for n, product in enumerate(products)
        ]
        return json.dumps(reviews)

    titles: dict[int, str] = {}
    titles |= {p["id"]: p["product_name"] for p in document(copied(list), "products.json")}
    root, run = copied(leaking, "leaking"), tmp_path / "run"
    for split, content in (("train", gold(1, 1, 2, 20)), ("dev", "[")):
        (root / split).mkdir()
        (root / split / "reviews.json").write_text(content, encoding="utf-8")
    words = ("link", root, "--split", "test", "--out", run, *in_index, *cheap)
    shown = here(*words)
    assert shown.code == 0, shown
    conforms(run, 8)
    ids = [review["review_id"] for review in document(root / "test", "reviews.json")]
    assert document(run, "leaks.json") == {
        "splits": ["train", "dev"],
        "unread": ["dev"],
        "reviews": {
            str(ids[0]): {"gold_in": ["train"]},
            str(ids[1]): {"gold_in": ["train"]},
            str(ids[2]): {"quotes_title": True},
        },
    }
    metrics = document(run, "metrics.json")
    leaks = metrics["leaks"]
    assert leaks["gold_in_other_splits"] == {"train": 2}
    assert (leaks["quotes_title"], leaks["foreign_keys"], leaks["gold_inserted"]) == (1, 0, 0)
    assert list(metrics)[-3:] == ["leaks", "intervals", "seconds"]
    said = "leaks: 2 reviews whose product is gold in train too; 1 reviews quote the title of their product"
    assert said in shown.out
    before = metrics_but_seconds(run)
    assert said in here(*words).out
    assert metrics_but_seconds(run) == before


def test_official_names_what_it_took_over(
    here: Callable[..., Any], dataset: Path, index: Any, cheap: tuple[str, ...], tmp_path: Path
) -> None:
    few = ("--set", "retrieval.candidates=6", "--set", "retrieval.depth=6")
    words = ("link", dataset, "--split", "test", *cheap, *few)
    honest, leaking = tmp_path / "honest", tmp_path / "official"
    assert here(*words, "--out", honest).code == 0
    shown = here(*words, "--out", leaking, "--official")
    assert shown.code == 0, shown
    specs = [document(run, "run.json")["spec"] for run in (honest, leaking)]
    assert ("official" in specs[0], specs[0]["protocol"]) == (False, "honest")
    names = ["gold_inserted", "gold_in_score_dict", "gold_keys", "titles_as_attributes"]
    assert specs[1]["official"] == [*names, "weights_on_reported_split"]
    metrics = [document(run, "metrics.json") for run in (honest, leaking)]
    assert metrics[0]["protocol"]["reproduced"] == []
    assert metrics[0]["leaks"]["gold_inserted"] == 0
    in_kb = metrics[0]["in_kb"]
    missed = in_kb - round(in_kb * metrics[0]["recall"]["1"]["value"])
    assert 0 < metrics[1]["leaks"]["gold_inserted"] <= missed
    assert "official: gold inserted into short lists, gold among the keys of the score dict" in shown.out
    assert all(SAYS[name] in shown.out for name in names)
    assert "not reproduced: options in rank order (no model chose among options)\n" in shown.out
    assert "not reproduced: test kept by human success" in shown.out
    assert "gold products were inserted" in shown.out
    counted = here("evaluate", honest, "--official").out
    assert f"official: {SAYS['weights_on_reported_split']}\n" in counted
    assert "not reproduced: attribute keys from gold (it has to be done when linking" in counted

"""``ameli-llm reproduce table5`` on a small twin: its rows, how they look, and what a second run does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.dataset.load import load_dataset
from ameli_llm.runs import RunFolder
from eval.measures.judged import judge
from eval.measures.statistics import Interval, exact_mcnemar
from tests.baselines.table5_world import World, small_world
from tests.command import Done, command

ROWS = [
    *("random", "v2vel", "v2tel", "v2vtel"),
    *("amelink-without-attribute", "amelink-without-image", "amelink-without-text", "amelink"),
    *("amelink-with-title", "ameli-llm"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A folder with the whole table, and what the command printed."""
    out = tmp_path_factory.mktemp("out") / "table5"
    done = world.reproduce(out)
    assert done.code == 0, done.err
    return out, done


@pytest.fixture(scope="module")
def content(made: tuple[Path, Done]) -> Any:
    return json.loads((made[0] / "table5.json").read_text(encoding="utf-8"))


def folders(out: Path) -> dict[str, RunFolder]:
    """The run folder of each row."""
    rows = json.loads((out / "table5.json").read_text(encoding="utf-8"))["rows"]
    return {row["key"]: RunFolder(out / row["run"]) for row in rows}


def test_every_row_is_measured(content: Any, world: World) -> None:
    assert [row["key"] for row in content["rows"]] == ROWS
    assert content["not_run"] == []
    reviews = load_dataset(world.twin).split("test")
    for row in content["rows"]:
        assert row["end_to_end_f1"]["n"] == len(reviews.gold)
        assert 0 < row["disambiguation_f1"]["n"] < row["end_to_end_f1"]["n"]
        for score in (row["disambiguation_f1"], row["end_to_end_f1"]):
            assert score["low"] <= score["value"] <= score["high"]
        assert row["candidates"] == 10
        assert row["seconds"] > 0
        assert row["against_chance"]["n"] == row["disambiguation_f1"]["n"]
        assert 0 < row["against_chance"]["p"] <= 1
        assert row["run_with"]
    names = {row["key"]: row["name"] for row in content["rows"]}
    assert (names["v2vel"], names["v2tel"]) == ("V2VEL (descriptor)", "V2TEL (descriptor, model)")


def test_the_table_is_printed_and_written_in_four_forms(made: tuple[Path, Done], content: Any) -> None:
    out, done = made
    assert sorted(path.name for path in out.glob("table5.*")) == [
        *("table5.csv", "table5.json", "table5.md", "table5.tex"),
    ]
    texts = [done.out, *((out / f"table5.{form}").read_text("utf-8") for form in ("md", "csv"))]
    for row in content["rows"]:
        cell = Interval(**row["end_to_end_f1"]).percent()
        for text in texts:
            lines = [line.strip('| "') for line in text.splitlines() if cell in line]
            assert any(line.startswith(row["name"]) for line in lines), row["name"]
    assert "not on the same data" in done.out
    assert "second-hand, unverified" in done.out


def test_every_row_is_a_run_of_the_same_candidates(made: tuple[Path, Done]) -> None:
    found = {
        key: {
            row.review_id: {c.entity_id: c.retrieval_score for c in row.candidates}
            for row in run.predictions()
        }
        for key, run in folders(made[0]).items()
    }
    start = found.pop("ameli-llm")
    assert start
    assert all(rows == start for rows in found.values())


def test_runs_can_be_evaluated_compared_and_reported(made: tuple[Path, Done], content: Any) -> None:
    runs = folders(made[0])
    scores = {row["key"]: row for row in content["rows"]}
    for key in ("random", "v2vtel"):
        again = command("evaluate", runs[key].path, "--json").json["end_to_end_f1"]
        assert again == pytest.approx(scores[key]["end_to_end_f1"], abs=1e-6)
    compared = command("compare", runs["random"].path, runs["v2vel"].path, "--json").json
    assert compared["changed"]["baseline.name"] == ["random", "v2vel"]
    assert command("report", runs["v2vel"].path).code == 0


def test_rows_are_compared_with_amelink(made: tuple[Path, Done], content: Any) -> None:
    runs = folders(made[0])
    right = {
        key: {one.review_id: one.right for one in judge(run.predictions(), run.gold())}
        for key, run in runs.items()
    }
    for row in content["rows"]:
        against = row["against_amelink"]
        if row["key"] == "amelink":
            assert against is None
            continue
        pairs = [(right["amelink"][review], right[row["key"]][review]) for review in right["amelink"]]
        assert against["fixed"] == pairs.count((False, True))
        assert against["broken"] == pairs.count((True, False))
        assert against["p"] == pytest.approx(exact_mcnemar(*zip(*pairs, strict=True)))
        assert against["q"] >= against["p"]
        assert against["difference"]["value"] == pytest.approx(
            row["end_to_end_f1"]["value"] - content["rows"][7]["end_to_end_f1"]["value"], abs=1e-6
        )


def test_again_trains_and_scores_nothing(made: tuple[Path, Done], world: World) -> None:
    out, first = made

    def times() -> dict[Path, int]:
        files = [path for name in ("models", "runs") for path in (out / name).rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}

    before = times()
    candidates = (out / "candidates" / "test" / "predictions.jsonl").read_bytes()
    done = world.reproduce(out)
    assert done.code == 0
    assert done.out == first.out
    assert times() == before
    assert (out / "candidates" / "test" / "predictions.jsonl").read_bytes() == candidates


def test_models_of_other_settings_are_not_taken_over(made: tuple[Path, Done], world: World) -> None:
    done = world.reproduce(made[0], "--rows", "v2vel", "--seed", 1)
    assert done.code == 2
    assert "holds weights of another training" in done.err

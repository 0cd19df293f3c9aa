"""An unfinished run says so, and a run knows how long linking worked at it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli import compare, evaluate
from ameli_llm.errors import AmeliError
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.standing import closed, opened, settled, standing

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]
Run = Callable[..., RunFolder]


@pytest.fixture
def run(predict: Predict, golds: Golds, write_run: Run) -> Run:
    """run(name, **run.json): three predictions, gold for all."""

    def make(name: str, **manifest: Any) -> RunFolder:
        rows = [predict(i, 1, {1: 0.9, 2: 0.8}) for i in range(3)]
        return write_run(rows, golds(dict.fromkeys(range(3), 1)), name, manifest=manifest)

    return make


def _call(*words: object) -> Result:
    app = typer.Typer()
    evaluate.register(app)
    compare.register(app)
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


UNFINISHED = {
    "killed": ({"end": None, "reviews": 55}, "3 of 55 reviews: unfinished", 55),
    "lines were lost": ({"reviews": 4}, "3 of 4 reviews: unfinished", 4),
    "old and killed": ({"end": None}, "3 reviews: unfinished", None),
}


@pytest.mark.parametrize(("manifest", "says", "asked"), UNFINISHED.values(), ids=UNFINISHED)
def test_an_unfinished_run_says_so(
    run: Run, manifest: dict[str, Any], says: str, asked: int | None, tmp_path: Path
) -> None:
    half, whole = run("half", **manifest).path, run("whole", reviews=3).path
    count = {"done": 3, "asked": asked}
    for words in (("evaluate", half), ("evaluate", half, "--set", "fusion.text=1")):
        result = _call(*words)
        assert (result.exit_code, result.stdout.splitlines()[0]) == (3, says)
        result = _call(*words, "--json")
        assert (result.exit_code, json.loads(result.stdout)["unfinished"]) == (3, count)
    assert "unfinished" not in json.loads((half / "metrics.json").read_text())
    result = _call("compare", whole, half)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (3, f"B: {says}")
    assert json.loads(_call("compare", half, whole, "--json").stdout)["unfinished"] == {"a": count}
    page = tmp_path / "page.html"
    result = _call("report", half, "--out", page)
    assert (result.exit_code, result.stdout, result.stderr) == (3, f"{page}\n", f"{says}\n")
    assert f"<b>{says}.</b>" in page.read_text()
    result = _call("report", half, whole, "--out", page, "--json")
    assert (result.exit_code, json.loads(result.stdout)["unfinished"]) == (3, {"a": count})
    assert f"<b>A: {says}.</b>" in page.read_text()


@pytest.mark.parametrize("manifest", [{}, {"reviews": 3}], ids=["old", "new"])
def test_a_finished_run_says_nothing(run: Run, manifest: dict[str, Any]) -> None:
    path = run("whole", **manifest).path
    for words in (("evaluate", path), ("compare", path, path), ("report", path)):
        result = _call(*words)
        assert (result.exit_code, "unfinished" in result.output) == (0, False)
    assert '<p class="unfinished">' not in (path / "report.html").read_text()


SESSION = {"start": "2025-01-01T00:00:00+00:00", "seconds": 1.5, "requests": 6}
OPEN = {**SESSION, "seconds": None, "requests": None}
OLD = {"start": "2025-01-01T00:00:00+00:00", "seconds": 1.5}


@pytest.mark.parametrize(
    ("manifest", "seconds", "pace"),
    [
        ({"sessions": [SESSION, SESSION]}, 3.0, 1.0),
        ({"sessions": [SESSION, OPEN]}, None, None),
        ({"sessions": []}, 0.0, None),
        ({}, 10.0, 0.3),
        ({"end": None}, None, None),
    ],
)
def test_wall_time_leaves_pauses_out(
    run: Run, manifest: dict[str, Any], seconds: float | None, pace: float | None
) -> None:
    found = standing(run("run", **manifest), 3)
    assert (found.seconds, found.reviews_per_second) == (seconds, pace)


@pytest.mark.parametrize(
    ("sessions", "requests", "pace"),
    [
        ([SESSION, SESSION], 12, 4.0),
        ([SESSION, {**SESSION, "requests": 0}], 6, 2.0),
        ([{**SESSION, "requests": 0}], 0, 0.0),
        ([SESSION, OPEN], None, None),  # what was sent before a kill is not known
        ([SESSION, OLD], None, None),
        ([], None, None),
    ],
)
def test_requests_of_all_sessions_by_wall_time(
    run: Run, sessions: list[dict[str, Any]], requests: int | None, pace: float | None
) -> None:
    found = standing(run("run", sessions=sessions), 3)
    assert (found.requests, found.requests_per_second) == (requests, pace)


def test_a_killed_session_ends_at_the_last_review_written(run: Run) -> None:
    folder = run("run", end=None, sessions=[OPEN])
    os.utime(folder.path / "predictions.jsonl", (1735689607.25, 1735689607.25))
    manifest = opened(settled(folder, folder.manifest()))
    assert [one["seconds"] for one in manifest["sessions"]] == [7.25, None]
    ended = closed(manifest, 2.0, 9)["sessions"]
    assert [(one["seconds"], one["requests"]) for one in ended] == [(7.25, None), (2.0, 9)]


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ({"reviews": "many"}, "reviews: Input should be a valid integer"),
        ({"end": []}, "end: Input should be a valid datetime"),
        ({"sessions": [{"seconds": 1}]}, "sessions.0.start: Field required"),
        ({"sessions": [{**SESSION, "seconds": -1}]}, "sessions.0.seconds: Input should be greater"),
    ],
)
def test_a_damaged_record_is_named(run: Run, manifest: dict[str, Any], complaint: str) -> None:
    folder = run("run", **manifest)
    with pytest.raises(AmeliError) as caught:
        standing(folder, 3)
    assert str(caught.value).startswith(f"{folder.path / 'run.json'}: {complaint}")

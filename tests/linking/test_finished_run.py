"""The same link command on a finished run touches nothing; what was lost is made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.linking.contract import conforms

Linked = tuple[Path, list[object]]


@pytest.fixture
def again(linked: Linked, here: Callable[..., Any], tmp_path: Path) -> tuple[Path, Callable[[], Any]]:
    """A copy of a finished run, and its link command."""
    run, words = linked
    mine = tmp_path / run.name  # which the report shows
    shutil.copytree(run, mine)
    return mine, lambda: here(*[mine if word == run else word for word in words])


def _state(run: Path) -> dict[str, tuple[int, int, bytes]]:
    stats = {path: path.stat() for path in sorted(run.iterdir())}
    return {p.name: (stat.st_mtime_ns, stat.st_ino, p.read_bytes()) for p, stat in stats.items()}


def test_nothing_is_touched(again: tuple[Path, Callable[[], Any]]) -> None:
    run, link = again
    before, folder = _state(run), run.stat().st_mtime_ns
    done = link()
    assert done.code == 0, done
    assert f"run: {run} (0 linked now)" in done.out
    assert "end-to-end F1" in done.out
    assert _state(run) == before
    assert run.stat().st_mtime_ns == folder


@pytest.mark.parametrize("lost", ["metrics.json", "report.html", "gold.json", "reviews.json", "leaks.json"])
def test_what_was_lost_is_made_again(again: tuple[Path, Callable[[], Any]], lost: str) -> None:
    run, link = again
    before = _state(run)
    (run / lost).unlink()
    assert link().code == 0
    after = _state(run)
    assert {name: content for name, (_, _, content) in after.items()} == {
        name: content for name, (_, _, content) in before.items()
    }
    for name in ("run.json", "predictions.jsonl"):
        assert after[name] == before[name]


def test_the_run_knows_what_was_asked_for_and_how_long_it_took(linked: Linked) -> None:
    manifest = json.loads((linked[0] / "run.json").read_text())
    assert manifest["reviews"] == 8
    assert "reviews" not in manifest["spec"]
    [session] = manifest["sessions"]
    assert session["seconds"] > 0


def test_a_run_cut_short_is_unfinished_until_it_is_linked_again(
    again: tuple[Path, Callable[[], Any]], here: Callable[..., Any]
) -> None:
    run, link = again
    manifest = json.loads((run / "run.json").read_text())
    manifest["end"] = None
    manifest["sessions"][0]["seconds"] = None
    (run / "run.json").write_text(json.dumps(manifest))
    lines = (run / "predictions.jsonl").read_text().splitlines(keepends=True)
    (run / "predictions.jsonl").write_text("".join(lines[:5]))
    done = here("evaluate", run)
    assert (done.code, done.out.splitlines()[0]) == (3, "5 of 8 reviews: unfinished")
    done = link()
    assert f"run: {run} (3 linked now)" in done.out
    conforms(run, 8)
    assert here("evaluate", run).code == 0
    sessions = json.loads((run / "run.json").read_text())["sessions"]
    assert len(sessions) == 2
    assert all(session["seconds"] is not None for session in sessions)


def test_show_has_the_words_of_each_verdict_and_each_comparators_score(
    linked: Linked, here: Callable[..., Any]
) -> None:
    run = linked[0]
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text("utf-8").splitlines()]
    row = next(one for one in rows if one["evidence"])
    shown = here("show", run, row["review_id"]).out
    for one in row["evidence"]:
        assert f'{one["verdict"]:<8}  {one["key"]}: "{one["text"]}"' in shown
        assert one["text"]
    best = row["candidates"][0]["text_scores"]
    assert f"(names {best['names']:.2f}, rules {best['rules']:.2f})" in shown

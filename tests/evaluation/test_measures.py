"""A measure is one file: what it measures is in metrics.json, and what it shows is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import eval.measures as measures
from ameli_llm.cli import evaluate as commands
from ameli_llm.config import RunConfig
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.evaluation import evaluate

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]

KEYS = (
    *("n", "with_gold", "in_kb", "products", "k", "recall", "disambiguation_f1", "end_to_end_f1"),
    *("precision", "accuracy", "states", "tokens", "flips", "extraction", "protocol", "error_budget"),
    *("calibration", "by_category", "by_slice", "by_attribute", "leaks", "intervals", "seconds"),
)

SHORT_LISTS = '''"""Reviews with a short list of candidates."""

from eval.measures.showing import Grid, Score, Shown


def measure(rows, bootstrap, judged):
    """Counts them."""
    short = [len(one.row.candidates) < 3 for one in judged]
    reviews = sum(len(row.candidates) < 3 for row in rows)
    return {"short": {"reviews": reviews, "share": bootstrap.ratio(short)}}


def show(short, k):
    """In each part of the page."""
    return Shown(
        scores=(Score("short lists", "fewer than three", short["share"]),),
        grids=(Grid.of(("of all", "short"), [(k, short["reviews"])]),),
        lines=(f"{short['reviews']} short <lists>",),
    )
'''


@pytest.fixture
def run(predict: Predict, golds: Golds, write_run: Callable[..., RunFolder]) -> RunFolder:
    rows = [predict(1, 1, {1: 0.9, 2: 0.8}), predict(2, 1, {1: 0.9, 2: 0.8, 3: 0.7})]
    return write_run(rows, golds({1: 1, 2: 2}))


@pytest.fixture
def new_file(tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    """new_file(name, source): one more file of the package, elsewhere on the disk."""
    folder = tmp_path / "more"
    folder.mkdir()
    path = list(measures.__path__)
    measures.__path__.append(str(folder))

    def write(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source)

    yield write
    measures.__path__[:] = path
    for file in folder.glob("*.py"):
        sys.modules.pop(f"eval.measures.{file.stem}", None)


def _call(*arguments: object) -> str:
    app = typer.Typer()
    commands.register(app)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_keys_are_those_of_always_in_their_order(run: RunFolder) -> None:
    _call("evaluate", run.path)
    assert tuple(json.loads((run.path / "metrics.json").read_text())) == KEYS


def test_a_new_file_is_measured_printed_and_reported(
    run: RunFolder, new_file: Callable[[str, str], None]
) -> None:
    new_file("short", SHORT_LISTS)
    out = [" ".join(line.split()) for line in _call("evaluate", run.path).splitlines()]
    content = json.loads((run.path / "metrics.json").read_text())
    assert tuple(content) == (*KEYS[:-1], "short", "seconds")
    assert content["short"]["reviews"] == 1
    assert content["short"]["share"]["value"] == 0.5
    assert "short lists 50.00 [0.00, 100.00] 2" in out
    assert out[out.index("of all short") + 1] == "10 1"
    assert "1 short <lists>" in out
    _call("report", run.path)
    html = (run.path / "report.html").read_text()
    assert "short lists" in html
    assert "1 short &lt;lists&gt;" in html


def test_two_files_do_not_measure_the_same(run: RunFolder, new_file: Callable[[str, str], None]) -> None:
    new_file("again", SHORT_LISTS.replace('"short":', '"tokens":'))
    with pytest.raises(ValueError, match="again measures tokens once more"):
        evaluate(list(run.predictions()), run.gold(), RunConfig())


def test_metrics_of_an_older_version_are_shown_as_far_as_they_go(run: RunFolder) -> None:
    document = evaluate(list(run.predictions()), run.gold(), RunConfig()).document()
    del document["leaks"], document["calibration"]
    names = [name for name, _ in measures.shown(document)]
    assert set(measures.in_order()) - set(names) == {"leaks", "calibration"}

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli import evaluate as commands
from ameli_llm.errors import AmeliError
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from tests.evaluation.report_page import ReportPage

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]

HEAVY = {
    *("torch", "chromadb", "vllm", "transformers", "sentence_transformers", "open_clip", "retrieval"),
    *("sklearn", "skimage", "bm25s", "onnxruntime", "rapidocr", "safetensors"),
}


def _call(*arguments: str | Path) -> Result:
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def run(predict: Predict, golds: Golds, write_run: Callable[..., RunFolder]) -> Path:
    rows = [predict(1, 1, {1: 0.9, 2: 0.8}), predict(2, 1, {1: 0.9, 2: 0.8})]
    return write_run(rows, golds({1: 1, 2: 2}, category="[red]Toys")).path


def test_evaluate_prints_the_table_and_writes_the_files(run: Path) -> None:
    result = _call("evaluate", run)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "2 reviews, 2 with gold, 2 with their product in the KB (2 products), K = 10"
    assert "disambiguation F1 50.00 [0.00, 100.00] 2" in lines
    assert "comparison_wrong 1 100.0" in lines
    assert any(line.startswith("[red]Toys 2") for line in lines)
    assert {"metrics.json", "run.trec", "retrieval.trec", "qrels.trec"} <= {p.name for p in run.iterdir()}


def test_json_is_the_content_of_the_file(run: Path) -> None:
    printed = json.loads(_call("evaluate", run, "--json").stdout)
    assert printed == json.loads((run / "metrics.json").read_text())
    assert printed["n"] == sum(printed["states"].values()) == 2
    assert set(printed["recall"]) == {"1", "10", "20", "50", "100"}
    assert set(printed["end_to_end_f1"]) == {"value", "low", "high", "n"}


def test_another_fusion_is_scored_from_stored_scores_and_not_written(run: Path) -> None:
    printed = json.loads(_call("evaluate", run, "--set", "fusion.abstain_threshold=1", "--json").stdout)
    assert printed["states"] == {
        "linked": 0,
        "nil": 0,
        "abstained": 2,
        "invalid_output": 0,
        "engine_error": 0,
    }
    assert not (run / "metrics.json").exists()
    refused = _call("evaluate", run, "--set", "retrieval.candidates=5")
    assert str(refused.exception) == "evaluate --set takes settings of fusion only. For others, link again."


def test_official_counting_is_printed_and_not_written(run: Path) -> None:
    result = _call("evaluate", run, "--official", "--batch-size", "2")
    assert "official protocol: batches of 2, 0 reviews dropped" in result.stdout
    assert not (run / "metrics.json").exists()


def test_report_says_where_it_is(run: Path, tmp_path: Path) -> None:
    assert _call("report", run).stdout.strip() == str(run / "report.html")
    printed = _call("report", run, run, "--out", tmp_path / "both.html", "--json").stdout
    assert json.loads(printed) == {"report": str(tmp_path / "both.html")}


def test_report_takes_any_number_of_runs_and_their_dataset(run: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "products.json").write_text('[{"id": 1, "product_name": "One", "product_category": "Toys"}]')
    result = _call("report", run, run, run, "--dataset", dataset)
    assert (result.exit_code, result.stdout) == (0, f"{run / 'report.html'}\n")
    assert result.stderr == "0 photos.\n"
    assert [one["letter"] for one in ReportPage((run / "report.html").read_text()).index["runs"]] == [
        "A",
        "B",
        "C",
    ]
    missing = _call("report", run, "--dataset", tmp_path / "nowhere").exception
    assert isinstance(missing, AmeliError)
    assert str(missing).startswith(f"No dataset folder at {tmp_path / 'nowhere'}.")


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_a_folder_that_is_no_run(command: str, tmp_path: Path) -> None:
    error = _call(command, tmp_path).exception
    assert isinstance(error, AmeliError)
    assert str(error) == f"{tmp_path} is not a run folder: it has no run.json. link makes one."


def test_a_configuration_of_another_version(run: Path) -> None:
    (run / "run.json").write_text(json.dumps({"spec": {"config": {"fusion": {"colour": 1}}}}))
    error = _call("evaluate", run).exception
    assert isinstance(error, AmeliError)
    assert "config.fusion.colour: Extra inputs are not permitted." in str(error)


def test_no_model_library_is_imported(run: Path) -> None:
    script = (
        "import sys, typer\n"
        "from ameli_llm.cli import compare, evaluate\n"
        "assert 'numpy' not in sys.modules\n"
        "app = typer.Typer()\n"
        "evaluate.register(app)\n"
        "compare.register(app)\n"
        "run = sys.argv[1]\n"
        "for command in (['evaluate', run], ['compare', run, run], ['report', run]):\n"
        "    app(command, standalone_mode=False)\n"
        f"heavy = {HEAVY}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

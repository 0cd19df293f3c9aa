"""``ameli-llm train amelink`` on a small twin, from the dataset folder to the weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli import train
from ameli_llm.errors import AmeliError
from tests.shared_setup import cache_of, twin_of

NO_OCR = "attributes:\n  extractors: [rules]\nretrieval:\n  image_encoder: descriptor\n  candidates: 5\n"
FAST = ("--epochs", "2", "--set", "layers=[16]")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("amelink-cli")
    shutil.copytree(twin_of(tmp_path_factory, products=24, reviews=40, seed=1), root / "twin")
    (root / "config.yaml").write_text(NO_OCR)
    return root


@pytest.fixture(autouse=True)
def own_cache(home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, home / "cache")))


def run(home: Path, *arguments: str) -> Result:
    app = typer.Typer()
    train.register(app)
    app.callback()(lambda: None)
    common = ["train", "amelink", str(home / "twin"), "--config", str(home / "config.yaml")]
    return CliRunner().invoke(app, [*common, *arguments])


def test_trains_and_says_when_it_is_finished(home: Path) -> None:
    out = home / "model"
    first = run(home, "--out", str(out), *FAST)
    assert first.exit_code == 0, first.output
    assert "AMELINK (MiniLM)" in first.stdout
    for name in ("full", "without attribute", "without image", "without text", "with title"):
        assert name in first.stdout
    assert (out / "amelink.json").is_file()
    assert (out / "candidates" / "train" / "predictions.jsonl").is_file()
    again = run(home, "--out", str(out), *FAST)
    assert "nothing was done" in again.stdout
    content = json.loads(run(home, "--out", str(out), *FAST, "--json").stdout)
    assert content["already"] is True
    assert content["title"] == "AMELINK (MiniLM)"
    assert content["settings"]["layers"] == [16]
    assert content["settings"]["candidates"] == 5

    other = home / "other"
    given = ("--candidates", str(out / "candidates"), "--preset", "official", "--variant", "full", "--json")
    content = json.loads(run(home, "--out", str(other), *FAST, *given).stdout)
    assert list(content["variants"]) == ["full"]
    assert content["variants"]["full"]["weights"].keys() == {"retrieval", "text", "image"}
    assert not (other / "candidates").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "dropuot=1"), "dropuot"),
        (("--set", "dropout"), "is not KEY=VALUE"),
        (("--set", "dropout=["), "not YAML"),
        (("--train-split", "tarin"), "tarin"),
        (("--variant", "without colour"), "without colour"),
        (("--candidates", "nowhere"), "is not a run folder"),
        (("--encoder", "."), "Cannot load the text encoder"),
    ],
)
def test_wrong_input_is_one_clear_error(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (home / "empty").mkdir(exist_ok=True)
    given = [str(home / "empty") if one == "." else one for one in arguments]
    result = run(home, "--out", str(tmp_path / "model"), *given)
    assert isinstance(result.exception, AmeliError)
    assert message in result.exception.message

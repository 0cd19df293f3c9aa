"""``ameli-llm train v2vel``, ``v2tel`` and ``v2vtel`` on the synthetic twin, in a small edition."""

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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towers")
    shutil.copytree(twin_of(tmp_path_factory, products=24, reviews=40, seed=1), folder / "twin")
    return folder


def run(command: str, place: Path, *arguments: object) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    train.register(app)
    common = (place / "twin", "--index", place / "index", "--epochs", 2)
    return CliRunner().invoke(app, ["train", command, *map(str, (*common, *arguments))])


def test_v2vtel_trains_both_parts_once(place: Path) -> None:
    out = place / "v2vtel"
    done = run("v2vtel", place, "--out", out)
    assert done.exit_code == 0, done.output
    assert "V2VEL (descriptor)" in done.stdout
    assert "V2TEL (descriptor, MiniLM)" in done.stdout
    assert f"{out / 'v2tel'}: saved" in done.stdout
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == [
        "v2tel/towers.json",
        "v2tel/towers.safetensors",
        "v2vel/adapter.json",
        "v2vel/adapter.safetensors",
    ]
    before = [(out / name).read_bytes() for name in files]
    again = run("v2vtel", place, "--out", out)
    assert again.exit_code == 0, again.output
    assert again.stdout.count("was trained before with these settings; nothing was done") == 2
    other = run("v2vtel", place, "--out", out, "--images", "first")
    assert isinstance(other.exception, AmeliError)
    assert "settings.images 'all' instead of 'first'" in str(other.exception)
    assert [(out / name).read_bytes() for name in files] == before


@pytest.mark.parametrize(
    ("command", "options", "setting"),
    [
        ("v2vel", ("--form", "official"), ("form", "official")),
        ("v2tel", ("--text", "title"), ("text", "title")),
    ],
)
def test_json(place: Path, command: str, options: tuple[str, ...], setting: tuple[str, str]) -> None:
    arguments = ("--seed", 3, "--learning-rate", 0.01, "--batch-size", 8, "--temperature", 0.5)
    done = run(command, place, "--out", place / command, *arguments, *options, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    settings = content["made_of"]["settings"]
    assert (settings["learning_rate"], settings["batch_size"], settings["temperature"]) == (0.01, 8, 0.5)
    assert (settings[setting[0]], content["made_of"]["seed"]) == (setting[1], 3)
    assert [epoch["number"] for epoch in content["history"]] == [0, 1, 2]


NO_OCR = "attributes: {extractors: [rules]}\nretrieval: {candidates: 5}\n"
LISTS = ("--images", "selected", "--loss", "candidates", "--negatives", "candidates")


@pytest.fixture
def config(place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, place / "cache")))
    (place / "config.yaml").write_text(NO_OCR)
    return place / "config.yaml"


def test_candidates_are_made_once_or_taken_from_runs(place: Path, config: Path) -> None:
    out, other = place / "listed", place / "listed-too"
    first = run("v2vtel", place, "--config", config, "--out", out, *LISTS)
    assert first.exit_code == 0, first.output
    for split in ("train", "dev"):
        assert (out / "candidates" / split / "predictions.jsonl").is_file()
    assert "dev F1" in first.stdout
    assert "dev R@1" in first.stdout
    runs = ("--candidates", out / "candidates")
    second = run("v2vtel", place, "--config", config, "--out", other, *LISTS, *runs)
    assert second.exit_code == 0, second.output
    assert not (other / "candidates").exists()
    for name in ("v2vel/adapter.safetensors", "v2tel/towers.safetensors"):
        assert (out / name).read_bytes() == (other / name).read_bytes()
    towers = json.loads((other / "v2tel" / "towers.json").read_text())["training"]["made_of"]
    assert towers["settings"]["loss"] == "candidates"
    assert set(towers["data"]) > {"train_candidates", "dev_candidates"}
    again = run("v2vtel", place, "--config", config, "--out", out, *LISTS)
    assert again.stdout.count("nothing was done") == 2


def test_no_candidates_are_made_where_none_are_looked_at(place: Path, config: Path, tmp_path: Path) -> None:
    leaking = ("--images", "selected", "--gold-image")
    done = run("v2vel", place, "--config", config, "--out", tmp_path / "out", *leaking, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["made_of"]["settings"]["gold_image"] is True
    assert not (tmp_path / "out" / "candidates").exists()


def test_candidates_that_are_not_there(place: Path, config: Path, tmp_path: Path) -> None:
    given = ("--loss", "candidates", "--candidates", tmp_path / "runs")
    done = run("v2tel", place, "--config", config, "--out", tmp_path / "out", *given)
    assert isinstance(done.exception, AmeliError)
    assert str(tmp_path / "runs" / "train") in str(done.exception)


def test_the_image_of_gold_is_for_selected_images_only(place: Path, tmp_path: Path) -> None:
    done = run("v2tel", place, "--out", tmp_path / "out", "--gold-image")
    assert isinstance(done.exception, AmeliError)
    assert "but images is 'all'" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "lacking"),
    [("v2vel", {"--text", "--loss"}), ("v2tel", {"--negatives"}), ("v2vtel", set())],
)
def test_each_command_has_the_options_of_its_baseline(command: str, lacking: set[str]) -> None:
    app = typer.Typer()
    train.register(app)
    group = typer.main.get_command(app)
    found = {option for one in group.commands["train"].commands[command].params for option in one.opts}  # type: ignore[attr-defined]
    numbers = {"--epochs", "--seed", "--learning-rate", "--batch-size", "--temperature"}
    places = {"dataset", "--out", "--train-split", "--config", "--index", "--candidates", "--json"}
    places |= {"--image-encoder"}
    kinds = {"--form", "--images", "--gold-image", "--text", "--loss", "--negatives"}
    assert found == (numbers | places | kinds) - lacking
    assert all(one.help for one in group.commands["train"].commands[command].params)  # type: ignore[attr-defined]


def test_index_without_images(place: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("retrieval: {image_encoder: none}\n")
    for command in ("v2vel", "v2tel", "v2vtel"):
        arguments = ("--config", tmp_path / "config.yaml", "--index", tmp_path / "index")
        done = run(command, place, *arguments, "--out", tmp_path / "out")
        assert isinstance(done.exception, AmeliError)
        assert str(done.exception).startswith("The index has no image vectors.")


def test_it_compares_by_the_image_encoder_that_is_named(place: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("retrieval: {image_encoders: [descriptor, efficientnet]}\n")
    arguments = ("--config", tmp_path / "config.yaml", "--index", tmp_path / "index", "--epochs", 1)
    for encoder, title in (
        ("", "V2VEL (descriptor)"),
        ("efficientnet", "V2VEL (efficientnet-lite2)"),
    ):
        done = run(
            "v2vel", place, *arguments, "--out", tmp_path / title, "--image-encoder", encoder, "--json"
        )
        assert done.exit_code == 0, done.output
        content = json.loads(done.stdout)
        assert content["title"] == title
        assert content["made_of"]["encoders"]["image"].startswith(encoder or "descriptor")
    other = run("v2vel", place, *arguments, "--out", tmp_path / "no", "--image-encoder", "clip")
    assert "Available: descriptor, efficientnet" in str(other.exception)

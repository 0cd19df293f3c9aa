"""``ameli-llm train v2vel``, ``v2tel`` and ``v2vtel`` on the synthetic twin, in a small edition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli import train
from ameli_llm.dataset.synth import write_twin
from ameli_llm.errors import AmeliError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towers")
    write_twin(folder / "twin", products=40, reviews=60, seed=0)
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


def test_index_without_images(place: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("retrieval: {image_encoder: none}\n")
    for command in ("v2vel", "v2tel", "v2vtel"):
        arguments = ("--config", tmp_path / "config.yaml", "--index", tmp_path / "index")
        done = run(command, place, *arguments, "--out", tmp_path / "out")
        assert isinstance(done.exception, AmeliError)
        assert str(done.exception).startswith("The index has no image vectors.")

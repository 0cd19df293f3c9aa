"""``ameli-llm train clip-adapter`` on a small dataset whose review photos are tinted product pictures."""

from __future__ import annotations

import colorsys
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image, ImageDraw
from typer.testing import CliRunner, Result

from ameli_llm.cli import train
from ameli_llm.errors import AmeliError
from ameli_llm.images.adapter import DESCRIPTION, WEIGHTS, ImageAdapter
from tests.command import running

PRODUCTS = 16
TRAINED_ON = range(12)
HELD_BACK = range(12, PRODUCTS)


def draw(path: Path, number: int, tint: float) -> None:
    """A disc whose hue tells the product, shifted by ``tint`` as by another light."""
    colour = tuple(int(255 * c) for c in colorsys.hsv_to_rgb((number / PRODUCTS + tint) % 1, 0.9, 0.9))
    image = Image.new("RGB", (48, 48), "white")
    ImageDraw.Draw(image).ellipse((6, 6, 42, 42), fill=colour)
    image.save(path)


def review(number: int) -> dict[str, object]:
    text = {"header": "Fine", "body": "A lamp.", "mention": "lamp"}
    gold = {"id": number, "product_name": f"Lamp {number}", "product_category": "Lamps"}
    return {"review_id": number, **text, "review_image_path": [f"{number}.png"], "gold_entity_info": gold}


@pytest.fixture(scope="module")
def lamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lamps")
    for folder in ("product_images", "review_images", "train", "dev", "test"):
        (root / folder).mkdir()
    products = [
        {
            "id": i,
            "product_name": f"Lamp {i}",
            "product_category": "Lamps",
            "Spec": [],
            "image_path": [f"{i}.png"],
        }
        for i in range(PRODUCTS)
    ]
    for i in range(PRODUCTS):
        draw(root / "product_images" / f"{i}.png", i, 0.0)
        draw(root / "review_images" / f"{i}.png", i, 0.02)
    (root / "products.json").write_text(json.dumps(products))
    for split, numbers in (("train", TRAINED_ON), ("dev", HELD_BACK)):
        (root / split / "reviews.json").write_text(json.dumps([review(i) for i in numbers]))
    (root / "test" / "reviews.json").write_text(json.dumps([review(0) | {"review_image_path": []}]))
    return root


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index") / "lamps"


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    train.register(app)
    return CliRunner().invoke(app, ["train", "clip-adapter", *map(str, arguments)])


def test_trains_on_train_and_stops_on_dev(lamps: Path, index: Path, tmp_path: Path) -> None:
    done = run(lamps, "--index", index, "--out", tmp_path, "--epochs", 3, "--bottleneck", 4)
    assert done.exit_code == 0, done.output
    header, untrained, best, last, _, counts, *_ = done.stdout.splitlines()
    assert header.split() == ["loss", "dev", "R@1"]
    assert (untrained.split()[0], best.split()[0], last.split()[:3]) == (
        "untrained",
        "best,",
        ["last,", "epoch", "3"],
    )
    assert counts == "12 image pairs of train, 4 reviews for dev R@1"
    assert f"adapter of descriptor (revision 2): {tmp_path}" in done.stdout
    adapter = ImageAdapter.load(tmp_path)
    assert (adapter.encoder, adapter.training["pairs"]) == ("descriptor (revision 2)", 12)


def test_same_seed_same_file(lamps: Path, index: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        done = run(lamps, "--index", index, "--out", tmp_path / name, "--epochs", 2, "--seed", 4, "--json")
        assert done.exit_code == 0, done.output
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_adapter(lamps: Path, tmp_path: Path) -> None:
    """The photos are so far off that no review finds its lamp untrained. Wide layers make a checkpoint, and
    so an epoch of 6 steps, slow enough to be killed in time."""
    root = tmp_path / "lamps"
    shutil.copytree(lamps, root)
    for number in range(PRODUCTS):
        draw(root / "review_images" / f"{number}.png", number, 0.3)
    settings = ["--batch-size", 2, "--bottleneck", 256, "--learning-rate", 0.01, "--temperature", 1]
    words = [root, "--index", tmp_path / "index", *settings, "--out"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with running("train", "clip-adapter", *words, killed) as process:
        for line in process.stderr:
            if line.startswith("training steps: 18/"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (killed / WEIGHTS).exists()
    assert (killed / "checkpoint").is_dir()
    resumed = run(*words, killed)
    assert resumed.exit_code == 0, resumed.output
    assert "training steps: 1/" not in resumed.stderr
    assert run(*words, whole).exit_code == 0
    assert sorted(path.name for path in killed.iterdir()) == [DESCRIPTION, WEIGHTS]
    for name in (WEIGHTS, DESCRIPTION):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert ImageAdapter.load(whole).form == "paper"


def test_a_damaged_checkpoint(lamps: Path, index: Path, tmp_path: Path) -> None:

    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "checkpoint.safetensors").write_bytes(b"cut off")
    done = run(lamps, "--index", index, "--out", tmp_path, "--epochs", 1)
    assert isinstance(done.exception, AmeliError)
    assert str(done.exception).startswith(f"The checkpoint {tmp_path / 'checkpoint'}")
    assert "Delete that folder" in str(done.exception)


def test_json(lamps: Path, index: Path, tmp_path: Path) -> None:
    done = run(lamps, "--index", index, "--out", tmp_path, "--split", "dev", "--epochs", 1, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    # Dev is what is trained on: one of its four products is kept for early stopping.
    assert (content["training"]["split"], content["training"]["pairs"]) == ("dev", 3)
    assert content["training"]["dev_reviews"] == 1
    assert [epoch["number"] for epoch in content["epochs"]] == [0, 1]
    assert np.isfinite([epoch["loss"] for epoch in content["epochs"]]).all()


def test_index_without_images(lamps: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("retrieval: {image_encoder: none}\n")
    done = run(lamps, "--index", tmp_path / "index", "--out", tmp_path / "out", "--config", config)
    assert isinstance(done.exception, AmeliError)
    assert str(done.exception).startswith("The index has no image vectors. Set retrieval.image_encoders")


def test_reviews_without_images(lamps: Path, index: Path, tmp_path: Path) -> None:
    done = run(lamps, "--index", index, "--out", tmp_path, "--split", "test")
    assert isinstance(done.exception, AmeliError)
    assert str(done.exception) == "test has no two products with an image of both sides"
    assert list(tmp_path.iterdir()) == []


def test_unknown_split(lamps: Path, index: Path, tmp_path: Path) -> None:
    done = run(lamps, "--index", index, "--out", tmp_path, "--split", "trian")
    assert isinstance(done.exception, AmeliError)
    assert "No split named 'trian'. Available: dev, test, train. Did you mean 'train'?" in str(done.exception)


def test_the_encoder_that_is_named_is_the_one_that_is_adapted(lamps: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("retrieval: {image_encoders: [descriptor, efficientnet]}\n")
    options = ("--config", config, "--index", tmp_path / "index", "--epochs", 2)
    done = run(lamps, "--out", tmp_path / "out", *options, "--encoder", "efficientnet")
    assert done.exit_code == 0, done.output
    adapter = ImageAdapter.load(tmp_path / "out")
    assert adapter.encoder.startswith("efficientnet efficientnet-lite2 (revision ")
    assert adapter.dimension == 1280
    other = run(lamps, "--out", tmp_path / "no", *options, "--encoder", "clip")
    assert str(other.exception).startswith(
        "No image encoder in the index named 'clip'. Available: descriptor"
    )
    assert not (tmp_path / "no").exists()

"""Fine-tuning of a tiny text encoder on made-up lamps, whose reviews call them by other words."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli import train as cli_train
from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from retrieval.building import build_index
from retrieval.encoders.sbert import SBERT, create
from retrieval.finetuning.description import (
    DESCRIPTION,
    Description,
    FineTuned,
    FineTuning,
    Identity,
    finished,
    is_fine_tuned,
)
from retrieval.finetuning.training import (
    CHECKPOINTS,
    TextSearch,
    Triplets,
    fine_tune,
    hard_negatives,
    ranking_loss,
    recall,
)
from retrieval.index import Index
from retrieval.manifest import EncoderStamp
from tests.retrieval.tiny_sbert import tiny_sbert

ROOT = Path(__file__).parents[2]
SAID = ("crimson", "azure", "lime", "golden", "snowy", "dark", "violet", "copper")
SOLD = ("red", "blue", "green", "yellow", "white", "black", "purple", "orange")
SETTINGS = FineTuning(epochs=3, batch_size=4, learning_rate=1e-2, warm_up=0.2, patience=3)
WEIGHTS = "model.safetensors"

PRODUCTS = [f"Lamp in {colour}." for colour in SOLD]
TRIPLETS = Triplets(
    query=[f"My {said} {word}" for word in ("lamp", "light") for said in SAID],
    positive=PRODUCTS * 2,
    negative=[*PRODUCTS[1:], PRODUCTS[0]] * 2,
)
DEV = TextSearch(query=[f"A {said} one" for said in SAID], gold=list(range(8)), texts=PRODUCTS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sbert(tmp_path_factory)


def identity(model: Path | str, settings: FineTuning = SETTINGS, seed: int = 0) -> Identity:
    source = {"split": "train", "reviews": len(TRIPLETS), "dev": "dev", "dev_reviews": len(DEV.query)}
    return Identity(EncoderStamp.of(create(str(model))), settings, seed, source)


def train(model: Path, out: Path, settings: FineTuning = SETTINGS, seed: int = 0) -> FineTuned:
    return fine_tune(TRIPLETS, DEV, identity(model, settings, seed), out)


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FineTuned]:
    out = tmp_path_factory.mktemp("trained") / "model"
    return out, train(tiny, out)


def test_it_learns_the_words_and_keeps_the_best_epoch(tiny: Path, trained: tuple[Path, FineTuned]) -> None:
    out, done = trained
    history = done.description.history
    assert [epoch.number for epoch in history] == [0, 1, 2, 3]
    losses = [epoch.loss for epoch in history[1:] if epoch.loss is not None]
    assert losses[-1] < losses[0]
    kept = next(epoch for epoch in history if epoch.number == done.description.best)
    assert kept.score == max(epoch.score for epoch in history) > history[0].score
    before, after = create(str(tiny)), create(str(out))
    assert before.revision != after.revision
    assert not np.allclose(before.encode(PRODUCTS), after.encode(PRODUCTS), atol=1e-3)
    # The saved weights are those of the best epoch. All eight products are among the first ten.
    found = (after.encode(DEV.query) @ after.encode(PRODUCTS).T).argmax(axis=1)
    assert ((found == np.arange(8)).mean() + 1) / 2 == pytest.approx(kept.score)
    assert recall(after, DEV) == kept.score
    assert done.fresh
    assert f"on 16 reviews of train, epoch {kept.number} of 3 epochs" in done.summary()


def test_the_folder_is_a_text_model(
    trained: tuple[Path, FineTuned], dataset: Dataset, tmp_path: Path
) -> None:
    out, _ = trained
    assert is_fine_tuned(str(out))
    assert not (out / CHECKPOINTS).exists()
    config = RetrievalConfig(text_model=str(out), image_encoder="none")
    index = build_index(dataset, tmp_path / "index", config)
    assert index.text_vectors.shape == (6, 32)


def test_same_seed_same_bytes_other_seed_others(
    tiny: Path, trained: tuple[Path, FineTuned], tmp_path: Path
) -> None:
    expected = (trained[0] / WEIGHTS).read_bytes()
    train(tiny, tmp_path / "same")
    train(tiny, tmp_path / "other", seed=1)
    assert (tmp_path / "same" / WEIGHTS).read_bytes() == expected
    assert (tmp_path / "other" / WEIGHTS).read_bytes() != expected


def test_finished_is_found_and_anything_else_refused(tiny: Path, trained: tuple[Path, FineTuned]) -> None:
    out, done = trained
    found = finished(out, identity(tiny))
    assert found is not None
    assert (found.fresh, found.description) == (False, done.description)
    assert finished(out.parent, identity(tiny)) is None
    other = identity(tiny, replace(SETTINGS, epochs=4), seed=3)
    with pytest.raises(AmeliError, match=r"trained otherwise: seed, settings.epochs\. Name another --out"):
        finished(out, other)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.retrieval.test_finetune import DEV, SETTINGS, TRIPLETS, identity
from retrieval.finetuning.training import fine_tune

calls = 0
def show(stage, done, total):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

fine_tune(TRIPLETS, DEV, identity(sys.argv[1]), Path(sys.argv[2]), show)
"""


@pytest.mark.slow
def test_killed_and_typed_again_it_ends_with_the_same_bytes(
    tiny: Path, trained: tuple[Path, FineTuned], tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(tiny), str(out), "6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert any((out / CHECKPOINTS).iterdir())
    assert not is_fine_tuned(str(out))
    steps: list[tuple[str, int, int]] = []
    again = fine_tune(TRIPLETS, DEV, identity(tiny), out, lambda *step: steps.append(step))
    assert (out / WEIGHTS).read_bytes() == (trained[0] / WEIGHTS).read_bytes()
    assert again.description.history == trained[1].description.history
    assert [done for _, done, _ in steps] == list(range(5, 13))


def test_another_place_of_the_right_product_in_the_batch_is_no_negative(tiny: Path) -> None:
    encoder = SBERT(str(tiny))
    twice = Triplets(
        query=["My crimson lamp", "A crimson light"],
        positive=[PRODUCTS[0], PRODUCTS[0]],
        negative=[PRODUCTS[1], PRODUCTS[0]],
    )
    queries = encoder.encode(twice.query).astype(np.float64)
    red, blue = encoder.encode(PRODUCTS[:2]).astype(np.float64)
    # Of the texts red, red, blue, red each query sees red once and blue once.
    logits = 20 * np.stack([queries @ red, queries @ blue], axis=1)
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[:, 0])
    found = ranking_loss(encoder.transformer.eval(), twice, [0, 1])
    assert float(found.detach()) == pytest.approx(expected, abs=1e-4)


def test_hard_negatives_are_wrong_products_that_are_near(index: Index) -> None:
    queries = ["the red Acme blender", "wireless headphones", "portable hard drive"]
    gold = [10, 30, 50]
    nearest = hard_negatives(index, queries, gold, 1, seed=0)
    names = {entry.text: entry.id for entry in index.entries}
    assert [names[text] for text in nearest] == [20, 40, 60]
    drawn = {tuple(hard_negatives(index, queries, gold, 3, seed)) for seed in range(8)}
    assert len(drawn) > 1
    for texts in drawn:
        assert all(names[text] != right for text, right in zip(texts, gold, strict=True))
    assert hard_negatives(index, queries, gold, 3, 5) == hard_negatives(index, queries, gold, 3, 5)
    assert hard_negatives(index, queries, gold, 1000, 0) != nearest


def test_one_product_is_too_few(dataset: Dataset, index: Index) -> None:
    alone = index.delete([20, 30, 40, 50, 60])
    with pytest.raises(AmeliError, match="1 product is too few to contrast"):
        hard_negatives(alone, ["blender"], [10], 10, 0)


@pytest.mark.parametrize(
    ("settings", "triplets", "message"),
    [
        (replace(SETTINGS, window=65), TRIPLETS, "A window of 65 tokens is too wide: the model takes 64"),
        (SETTINGS, Triplets((), (), ()), "There is nothing to train on"),
        (replace(SETTINGS, learning_rate=1e30), TRIPLETS, "Training diverged"),
        (replace(SETTINGS, learning_rate=float("nan")), TRIPLETS, "learning_rate is nan"),
    ],
    ids=["window", "empty", "diverged", "nan"],
)
def test_what_cannot_be_trained(
    tiny: Path, tmp_path: Path, settings: FineTuning, triplets: Triplets, message: str
) -> None:
    with pytest.raises(AmeliError, match=message):
        fine_tune(triplets, DEV, identity(tiny, settings), tmp_path / "out")
    assert not is_fine_tuned(str(tmp_path / "out"))


def test_a_window_is_kept_with_the_model(tiny: Path, tmp_path: Path) -> None:
    train(tiny, tmp_path, replace(SETTINGS, epochs=1, window=8))
    encoder = create(str(tmp_path))
    long, cut = "a lamp that is as red as red can be and more", "a lamp that is as red"
    assert np.allclose(encoder.encode([long]), encoder.encode([cut]), atol=1e-6)


def test_no_better_epoch_leaves_the_weights_as_they_were(tiny: Path, tmp_path: Path) -> None:
    done = train(tiny, tmp_path, replace(SETTINGS, epochs=1, learning_rate=0.0))
    assert done.description.best == 0
    assert np.array_equal(create(str(tmp_path)).encode(PRODUCTS), create(str(tiny)).encode(PRODUCTS))
    assert "none, as it was not better on dev, of 1 epochs" in done.summary()


def test_a_place_that_cannot_be_written(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AmeliError, match="Cannot write to"):
        train(tiny, tmp_path / "file" / "out")


def test_a_damaged_description(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / DESCRIPTION).write_text("{")
    with pytest.raises(AmeliError, match=r"training\.json cannot be read\. Delete the folder"):
        finished(tmp_path, identity(tiny))


def run(*words: object) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    cli_train.register(app)
    return CliRunner().invoke(app, ["train", "sbert", *map(str, words)])


@pytest.fixture
def words(root: Path, tiny: Path, tmp_path: Path) -> list[object]:
    """The command on the dataset of this folder, whose only split is dev."""
    config = tmp_path / "config.yaml"
    config.write_text(f"retrieval: {{text_model: {tiny}, image_encoder: none}}")
    options = ["--config", config, "--index", tmp_path / "tiny index", "--epochs", 1, "--batch-size", 2]
    return [root, "--out", tmp_path / "out", *options]


def test_the_command_trains_and_says_when_it_is_finished(words: list[object], tmp_path: Path) -> None:
    done = run(*words, "--train-split", "dev", "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert (content["fresh"], content["source"]["split"], content["source"]["reviews"]) == (True, "dev", 3)
    assert content["source"]["dev_reviews"] == 1
    assert [epoch["number"] for epoch in content["history"]] == [0, 1]
    assert Description.model_validate_json((tmp_path / "out" / DESCRIPTION).read_text()).seed == 0
    before = (tmp_path / "out" / WEIGHTS).stat().st_mtime_ns
    again = run(*words, "--train-split", "dev")
    assert again.stdout.startswith(f"{tmp_path / 'out'} is finished; nothing was trained.\n")
    assert f"retrieval.text_model: {tmp_path / 'out'}" in again.stdout
    assert (tmp_path / "out" / WEIGHTS).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--train-split", "train"], "No split named 'train'. Available: dev."),
        (["--train-split", "test"], "has no review to train on"),
        (["--train-split", "dev", "--window", "4000"], "A window of 4000 tokens is too wide"),
    ],
)
def test_the_command_names_what_is_wrong(
    words: list[object], root: Path, change: list[str], message: str
) -> None:
    if "test" in change:
        (root / "test").mkdir()
        (root / "test" / "reviews.json").write_text("[]")
    done = run(*words, *change)
    assert isinstance(done.exception, AmeliError), done.output
    assert message in str(done.exception)


def test_a_model_that_is_not_there(words: list[object], tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"retrieval: {{text_model: {tmp_path}, image_encoder: none}}")
    done = run(*words, "--train-split", "dev")
    assert isinstance(done.exception, AmeliError), done.output
    assert f"Cannot load the text model '{tmp_path}'" in str(done.exception)

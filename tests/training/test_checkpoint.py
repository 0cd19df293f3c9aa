"""The checkpoint file: what is in it, and what happens when it does not fit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ameli_llm.errors import AmeliError
from ameli_llm.training.checkpoint import FILE, SECONDS, Store, discard, locked
from ameli_llm.training.loop import LoopSettings, train

SETTINGS = LoopSettings(epochs=2, batch_size=4, learning_rate=0.1)
INPUTS = torch.from_numpy(np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32))
HINT = "Delete that folder or choose another --out."


class Tagger(torch.nn.Module):
    """A frozen encoder under a head that is trained."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width))
        self.encoder.requires_grad_(False)
        self.norm = torch.nn.BatchNorm1d(width)
        self.head = torch.nn.Linear(width, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.encoder(rows)))


def fit(folder: Path, settings: LoopSettings = SETTINGS, *, width: int = 4, **other: Any) -> Any:
    module = Tagger(width)
    score = other.pop("score", lambda: 0.5)
    loss = other.pop("loss", lambda rows: module(INPUTS[rows]).square().mean())
    count = other.pop("count", 10)
    return train(module, count, loss, score, settings, checkpoints=folder, **other)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished training's checkpoint."""
    fit(tmp_path / "checkpoint", identity="data 1")
    return tmp_path / "checkpoint"


def test_a_frozen_part_stays_as_it_is() -> None:
    """Its running means, too, which are not kept."""
    module = Tagger()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    train(module, 10, lambda rows: module(INPUTS[rows]).square().mean(), None, SETTINGS)
    moved = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in moved} == {"norm", "head"}


def error(folder: Path, settings: LoopSettings = SETTINGS, **other: Any) -> str:
    with pytest.raises(AmeliError) as raised:
        fit(folder, settings, **{"identity": "data 1", **other})
    return str(raised.value)


def test_what_is_kept(folder: Path) -> None:
    with safe_open(folder / FILE, framework="pt") as content:
        names = set(content.keys())
    trained = {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    kept = trained | {f"norm.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    moments = {f"adam/{name}/{key}" for name in trained for key in ("step", "exp_avg", "exp_avg_sq")}
    both = {f"{group}/{name}" for group in ("current", "best") for name in kept}
    assert names == both | moments | {"generator/cpu"}, "nothing of the frozen encoder"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", FILE]


def test_other_data(folder: Path) -> None:
    assert error(folder, identity="data 2") == (
        f"{folder / FILE} is the checkpoint of a training on other data. {HINT}"
    )


@pytest.mark.parametrize(
    ("settings", "other", "message"),
    [
        ({"learning_rate": 0.2}, {}, "learning_rate 0.1, now 0.2"),
        ({"epochs": 3, "seed": 1}, {}, "epochs 2, now 3; seed 0, now 1"),
        ({"precision": "bf16"}, {}, "precision fp32, now bf16"),
        ({}, {"count": 9}, "examples 10, now 9"),
        ({}, {"score": None}, "scored True, now False"),
    ],
)
def test_other_settings(folder: Path, settings: dict[str, Any], other: dict[str, Any], message: str) -> None:
    assert error(folder, replace(SETTINGS, **settings), **other) == (
        f"{folder / FILE} is the checkpoint of a training with other settings: {message}. "
        "Use those settings again, delete that folder or choose another --out."
    )


def test_another_size(folder: Path) -> None:
    assert error(folder, width=5) == (
        f"{folder / FILE} is the checkpoint of a model of another size: best/head.weight is [1, 4] there "
        f"and [1, 5] here. {HINT}"
    )


@pytest.mark.parametrize("left", [0, 5, 300, -1], ids=["empty", "in its header", "in its names", "last byte"])
def test_cut_off(folder: Path, left: int) -> None:
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[:left])
    found = error(folder)
    assert found.startswith(f"The checkpoint {folder / FILE} is damaged: ")
    assert found.endswith("Delete that folder to train from the beginning, or choose another --out.")


@pytest.mark.parametrize("place", [-1, -400], ids=["last byte", "in the tensors"])
def test_a_changed_byte(folder: Path, place: int) -> None:
    content = bytearray((folder / FILE).read_bytes())
    content[place] ^= 1
    (folder / FILE).write_bytes(content)
    assert f"The checkpoint {folder / FILE} is damaged: its checksum is wrong." in error(folder)


def test_a_changed_state(folder: Path) -> None:
    content = (folder / FILE).read_bytes()
    changed = content.replace(rb"\"epoch\":3", rb"\"epoch\":2")
    assert changed != content
    (folder / FILE).write_bytes(changed)
    assert "is damaged: its checksum is wrong." in error(folder)


def test_another_safetensors_file(folder: Path) -> None:
    save_file({"weight": torch.zeros(2)}, folder / FILE)
    assert f"The checkpoint {folder / FILE} is damaged" in error(folder)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert f"The checkpoint {tmp_path / FILE} is damaged" in error(tmp_path)


def test_a_partial_file_of_a_killed_process_is_of_no_account(folder: Path) -> None:
    (folder / f"{FILE}.partial").write_bytes(b"half")
    history = fit(folder, identity="data 1")
    assert len(history) == 3


def test_discard(folder: Path) -> None:
    (folder / f"{FILE}.partial").write_bytes(b"half")
    discard(folder)
    assert not folder.exists()
    discard(folder)


def test_discard_leaves_what_is_not_its_own(folder: Path) -> None:
    (folder / "notes").write_text("mine")
    discard(folder)
    assert [path.name for path in folder.iterdir()] == ["notes"]


def test_a_diverged_training_leaves_no_checkpoint(tmp_path: Path) -> None:
    """A lower learning rate, which the error asks for, would be refused beside it."""
    folder = tmp_path / "checkpoint"
    module = Tagger()
    with pytest.raises(AmeliError, match="Training diverged"):
        fit(folder, loss=lambda rows: module(INPUTS[rows]).sum() * torch.nan)
    assert not folder.exists()


def test_two_processes_in_one_folder(folder: Path) -> None:
    with locked(folder):
        assert error(folder) == (
            f"Another process is training in {folder}. Wait for it, or choose another --out."
        )


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert error(tmp_path / "file") == f"Cannot write to {tmp_path / 'file'}: File exists."


def test_within_an_epoch_by_time(tmp_path: Path) -> None:
    """Each of the 3 steps of 2 epochs where it is asked for, else only the ends of epochs: 0, 1 and 2."""

    def written(folder: Path, seconds: float) -> int:
        versions: set[tuple[int, int]] = set()

        def note(*_: object) -> None:
            if (folder / FILE).exists():
                status = os.stat(folder / FILE)
                versions.add((status.st_ino, status.st_mtime_ns))

        module = Tagger()

        def loss(rows: np.ndarray) -> torch.Tensor:
            note()
            return module(INPUTS[rows]).square().mean()

        train(module, 10, loss, lambda: 0.5, SETTINGS, checkpoints=folder, checkpoint_seconds=seconds)
        note()
        return len(versions)

    assert written(tmp_path / "always", 0.0) == 1 + 2 * 3
    assert written(tmp_path / "seldom", SECONDS) == 3


def test_not_due_right_after_one(tmp_path: Path) -> None:
    store = Store(tmp_path, seconds=1000.0)
    store.load("", {})
    assert not store.due()
    always = Store(tmp_path, seconds=0.0)
    always.load("", {})
    assert always.due()

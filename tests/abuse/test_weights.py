"""Checkpoints and trained weights, damaged: what is wrong is named, or they are read as they were written."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ameli_llm.attributes.tagging import folder as tagger
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.settings import TaggerSettings
from ameli_llm.errors import AmeliError
from ameli_llm.files import write_json
from ameli_llm.images.adapter import ImageAdapter
from ameli_llm.models import lora
from ameli_llm.seal import file_checksum
from ameli_llm.training.checkpoint import FILE, State, Store
from eval.baselines._towers import SIDES, Sizes, Towers
from tests.abuse.damage import damaged

Arrays = dict[str, np.ndarray[Any, np.dtype[np.float32]]]
KIND = Kind("mjave", TaggerSettings, build=lambda: None, title=str)  # type: ignore[arg-type,return-value]


def arrays(*names: str) -> Arrays:
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=(8, 8)).astype(np.float32) for name in names}


def tensors(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays(*names).items()}


def plain(found: dict[str, Any]) -> list[tuple[str, bytes]]:
    return sorted((name, np.asarray(array).tobytes()) for name, array in found.items())


@dataclass(frozen=True)
class Weights:
    """How a kind of weights is written, and read as something to compare; ``file`` is what is damaged."""

    write: Callable[[Path], object]
    read: Callable[[Path], object]
    file: str


def write_checkpoint(folder: Path) -> None:
    state = State(
        identity="data", settings={"seed": 1}, epoch=2, step=3, loss_sum=0.5,
        history=[(0, None, 0.25), (1, 0.5, 0.75)], scaler={"scale": 2.0},
    )  # fmt: skip
    Store(folder).save(state, tensors("current/a", "best/a", "adam/a/exp_avg"))


def read_checkpoint(folder: Path) -> object:
    found = Store(folder).load("data", {"seed": 1})
    assert found is not None
    return found[0], plain(dict(found[1]))


def write_towers(folder: Path) -> None:
    names = [f"{side}.{matrix}" for side in SIDES for matrix in ("w1", "w2")]
    Towers("paper", Sizes(8, 8, 8, 8), arrays(*names)).save(folder)


def write_tagger(folder: Path) -> None:
    path = folder / "draft"
    save_file(tensors("a", "b"), path)
    described = {"kind": "mjave", "title": "MJAVE", "settings": {}, "labels": ["Color"], "encoder": "bert"}
    described |= {"encoder_revision": "1", "made_of": {}, "counts": {}, "best": 0, "history": []}
    tagger.write(folder, path.read_bytes(), described)


def write_lora(folder: Path) -> None:
    write_json(folder / lora.CONFIG, {"peft_type": "LORA", "base_model_name_or_path": "tiny"})
    save_file(tensors("a", "b"), folder / lora.WEIGHTS)
    write_json(folder / lora.RECORD, {"base": "tiny", lora.SHA256: file_checksum(folder / lora.WEIGHTS)})


KINDS = {
    "checkpoint": Weights(write_checkpoint, read_checkpoint, FILE),
    "adapter": Weights(
        lambda folder: ImageAdapter(8, "official", arrays("shared.w1", "shared.w2")).save(folder),
        lambda folder: plain(dict(ImageAdapter.load(folder).weights)),
        "adapter.safetensors",
    ),
    "towers": Weights(write_towers, lambda folder: plain(dict(Towers.load(folder).weights)), "*.safetensors"),
    "tagger": Weights(
        write_tagger,
        lambda folder: tagger.read_weights(folder, tagger.read(folder, KIND), "Train it again."),
        tagger.WEIGHTS,
    ),
    "lora": Weights(write_lora, lambda folder: plain(lora.read_tensors(folder)), lora.WEIGHTS),
}


@pytest.fixture(params=KINDS)
def weights(request: pytest.FixtureRequest) -> Weights:
    return KINDS[request.param]


def survive(weights: Weights, folder: Path, pattern: str, times: int) -> int:
    """How many of so many damages of a file were noticed; else what is read is what was written."""
    weights.write(folder)
    expected = weights.read(folder)
    (path,) = folder.glob(pattern)
    whole, draw, noticed = path.read_bytes(), random.Random(16), 0
    for _ in range(times):
        what, content = damaged(whole, draw)
        path.write_bytes(content)
        try:
            assert weights.read(folder) == expected, what
        except AmeliError as error:
            said = str(error)
        else:
            continue
        assert str(folder) in said, what
        assert "\n" not in said, what
        noticed += 1
    return noticed


def test_damaged_weights(weights: Weights, tmp_path: Path) -> None:
    """Every change is noticed, but for a checkpoint, where spaces after its header may be others."""
    noticed = survive(weights, tmp_path, weights.file, 60)
    assert noticed == 60 or (weights.file == FILE and noticed > 50)


def test_damaged_descriptions(weights: Weights, tmp_path: Path) -> None:
    """What they say of the weights themselves decides; where they come from is told, and can be wrong."""
    weights.write(tmp_path)
    for path in sorted(tmp_path.glob("*.json")):
        noticed = survive(weights, tmp_path, path.name, 60)
        assert noticed > 10 or path.name == lora.CONFIG


@pytest.mark.slow
def test_damaged_at_size(weights: Weights, tmp_path: Path) -> None:
    assert survive(weights, tmp_path, weights.file, 1000) > 950

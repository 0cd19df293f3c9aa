"""Weights on disk carry a checksum: one flipped bit is noticed, wherever it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.images.adapter import ImageAdapter
from ameli_llm.images.weights import FORMAT, WeightsDamagedError
from eval.baselines._towers import SIDES, Sizes, Towers


def adapter(folder: Path) -> None:
    ones = np.ones((2, 2), np.float32)
    ImageAdapter(2, "official", {"shared.w1": ones, "shared.w2": ones}).save(folder)


def towers(folder: Path) -> None:
    sizes = Sizes(2, 2, 2, 2)
    weights = {f"{side}.{matrix}": np.ones((2, 2), np.float32) for side in SIDES for matrix in ("w1", "w2")}
    Towers("paper", sizes, weights).save(folder)


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "adapter": (adapter, ImageAdapter.load),
    "towers": (towers, Towers.load),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], object]:
    """Weights of a kind in ``tmp_path``; reads them."""
    save, load = KINDS[request.param]
    save(tmp_path)
    return lambda: load(tmp_path)


def described(folder: Path) -> tuple[Path, dict[str, object]]:
    (path,) = folder.glob("*.json")
    return path, json.loads(path.read_text())


def test_every_flipped_bit_of_the_weights_is_noticed(kind: Callable[[], object], tmp_path: Path) -> None:
    kind()
    (path,) = tmp_path.glob("*.safetensors")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(WeightsDamagedError, match="are not those that the training wrote"):
            kind()
    path.write_bytes(whole)
    kind()


def test_weights_that_were_written_before_there_were_checksums(
    kind: Callable[[], object], tmp_path: Path
) -> None:
    path, content = described(tmp_path)
    assert content["format"] == FORMAT
    before = {key: value for key, value in content.items() if key not in ("format", "sha256")}
    path.write_text(json.dumps(before))
    kind()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": ""}, "format 2 has to have the sha256 of the weights"),
        ({"sha256": "no digest"}, "sha256: String should match pattern"),
        ({"format": FORMAT + 1}, "format: Input should be less than or equal to 2"),
        ({"sha256": 64 * "0"}, "are not those that the training wrote"),
    ],
)
def test_a_description_that_cannot_be_right(
    kind: Callable[[], object], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path, content = described(tmp_path)
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(AmeliError, match=message):
        kind()

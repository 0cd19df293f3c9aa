"""The image adapter's equations, and checkpoints that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ameli_llm.errors import AmeliError
from ameli_llm.images.adapter import DESCRIPTION, WEIGHTS, ImageAdapter
from ameli_llm.images.weights import WeightsDamagedError


def array(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


W1 = array([1.0], [-1.0])
"""[2, 1]: hidden = x0 - x1"""
W2 = array([0.0, 2.0])
"""[1, 2]: adds twice the hidden value to x1"""


@pytest.fixture
def paper() -> ImageAdapter:
    zero = np.zeros_like
    weights = {"review.w1": W1, "review.w2": W2, "entity.w1": zero(W1), "entity.w2": zero(W2)}
    return ImageAdapter(2, "paper", weights, encoder="clip r1", training={"seed": 3})


def test_identity_only_normalises() -> None:
    adapter = ImageAdapter.identity(2)
    vectors = array([3.0, 4.0], [0.0, 0.0])
    for side in (adapter.review, adapter.entity):
        np.testing.assert_allclose(side(vectors), array([0.6, 0.8], [0.0, 0.0]))
        assert side(vectors).dtype == np.float32


@pytest.mark.parametrize(
    ("vector", "adapted"),
    [
        ([1.0, 0.0], [1.0, 2.0]),  # hidden 1: x1 grows by 2
        ([0.0, 1.0], [0.0, 1.0]),  # hidden -1: ReLU cuts it, the vector stays
        ([2.0, 1.0], [2.0, 3.0]),  # hidden 1
    ],
)
def test_paper_equation_on_reviews(paper: ImageAdapter, vector: list[float], adapted: list[float]) -> None:
    expected = np.array(adapted) / np.linalg.norm(adapted)
    np.testing.assert_allclose(paper.review(array(vector))[0], expected, rtol=1e-6)


def test_entity_images_have_their_own_weights(paper: ImageAdapter) -> None:
    np.testing.assert_allclose(paper.entity(array([1.0, 0.0])), array([1.0, 0.0]))


def test_official_form_mixes_one_shared_adapter() -> None:
    adapter = ImageAdapter(2, "official", {"shared.w1": W1, "shared.w2": W2})
    # ReLU(1 * [0, 2]) = [0, 2]; 0.8 * [1, 0] + 0.2 * [0, 2] = [0.8, 0.4]
    expected = array([0.8, 0.4]) / np.linalg.norm([0.8, 0.4])
    np.testing.assert_allclose(adapter.review(array([1.0, 0.0])), expected, rtol=1e-6)
    np.testing.assert_allclose(adapter.entity(array([1.0, 0.0])), expected, rtol=1e-6)


def test_official_form_has_a_second_relu() -> None:
    adapter = ImageAdapter(2, "official", {"shared.w1": W1, "shared.w2": -W2})
    np.testing.assert_allclose(adapter.review(array([1.0, 0.0])), array([1.0, 0.0]))


def test_round_trip(paper: ImageAdapter, tmp_path: Path) -> None:
    paper.save(tmp_path / "new" / "adapter")
    loaded = ImageAdapter.load(tmp_path / "new" / "adapter")
    assert (loaded.dimension, loaded.form, loaded.bottleneck, loaded.encoder, loaded.training) == (
        *(2, "paper", 1, "clip r1", {"seed": 3}),
    )
    vectors = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_array_equal(loaded.review(vectors), paper.review(vectors))
    assert sorted(path.name for path in (tmp_path / "new" / "adapter").iterdir()) == [DESCRIPTION, WEIGHTS]


def test_identity_round_trip(tmp_path: Path) -> None:
    ImageAdapter.identity(7).save(tmp_path)
    assert ImageAdapter.load(tmp_path) == ImageAdapter.identity(7)


def test_vectors_of_another_size(paper: ImageAdapter) -> None:
    with pytest.raises(AmeliError, match=r"shape \[n, 2\], not \(1, 3\)"):
        paper.review(array([1.0, 2.0, 3.0]))
    with pytest.raises(AmeliError, match=r"shape \[n, 2\], not \(2,\)"):
        paper.review(np.ones(2, dtype=np.float32))


def test_require(paper: ImageAdapter) -> None:
    assert paper.require(2, "clip r1") is paper
    with pytest.raises(AmeliError, match="image vectors of 2 numbers, the index has 512"):
        paper.require(512, "clip r1")
    with pytest.raises(AmeliError, match="trained on vectors of clip r1, the index has those of clip r2"):
        paper.require(2, "clip r2")


def without_checksum(folder: Path) -> None:
    """The folder as it was written before descriptions had a checksum."""
    content = json.loads((folder / DESCRIPTION).read_text())
    del content["format"], content["sha256"]
    (folder / DESCRIPTION).write_text(json.dumps(content))


def change_description(folder: Path, **change: object) -> None:
    content = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(content | change))


def test_checkpoint_of_another_size(paper: ImageAdapter, tmp_path: Path) -> None:
    paper.save(tmp_path)
    change_description(tmp_path, dimension=3)
    with pytest.raises(AmeliError) as caught:
        ImageAdapter.load(tmp_path)
    assert "vectors of 3 numbers: expected entity.w1 [3, 1]" in str(caught.value)
    assert "found entity.w1 [2, 1]" in str(caught.value)


def test_checkpoint_of_another_form(paper: ImageAdapter, tmp_path: Path) -> None:
    paper.save(tmp_path)
    change_description(tmp_path, form="official")
    with pytest.raises(AmeliError, match=r"expected shared\.w1"):
        ImageAdapter.load(tmp_path)


def test_unknown_key_in_the_description(paper: ImageAdapter, tmp_path: Path) -> None:
    paper.save(tmp_path)
    change_description(tmp_path, colour="red")
    with pytest.raises(AmeliError, match=r"adapter\.json: colour: Extra inputs are not permitted"):
        ImageAdapter.load(tmp_path)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match=r"Cannot read .*adapter\.json: No such file .* train clip-adapter"):
        ImageAdapter.load(tmp_path)


def test_a_place_that_cannot_be_written(paper: ImageAdapter, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AmeliError, match=r"Cannot write to .*file: (File exists|Not a directory)\."):
        paper.save(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\xff" * 64])
def test_damaged_weights(paper: ImageAdapter, tmp_path: Path, content: bytes) -> None:
    paper.save(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(WeightsDamagedError, match="are not those that the training wrote"):
        ImageAdapter.load(tmp_path)
    without_checksum(tmp_path)
    with pytest.raises(AmeliError, match="is not a safetensors file"):
        ImageAdapter.load(tmp_path)


def test_weights_that_are_no_numbers(paper: ImageAdapter, tmp_path: Path) -> None:
    paper.save(tmp_path)
    save_file(dict(paper.weights) | {"review.w1": W1 * np.float32("nan")}, tmp_path / WEIGHTS)
    without_checksum(tmp_path)
    with pytest.raises(AmeliError, match=r"review\.w1 has to hold finite float32 numbers"):
        ImageAdapter.load(tmp_path)


def test_weights_of_another_number_type(paper: ImageAdapter, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file as save_tensors

    paper.save(tmp_path)
    halves = {name: torch.from_numpy(w).to(torch.bfloat16) for name, w in paper.weights.items()}
    save_tensors(halves, tmp_path / WEIGHTS)
    without_checksum(tmp_path)
    with pytest.raises(AmeliError, match="numbers of type BF16 instead of float32"):
        ImageAdapter.load(tmp_path)

"""The packaged text model by torch alone is the one of sentence-transformers, bit by bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders import sbert

ROOT = Path(__file__).parents[2]
TEXTS = [
    "Acme Breeze blender, red. 500 W",
    "",
    "x",
    "\u05de\u05db\u05d5 \u00fcber caf\u00e9 \U0001f600",
    "[SEP] hi [MASK] <|im_end|>",
    "a " * 2000,
    "w" * 5000,
    *(f"The {colour} one holds {litres} litres" + " and is quiet" * litres for litres in range(1, 40)
      for colour in ("red", "blue")),
]  # fmt: skip


@pytest.fixture(scope="module")
def light() -> sbert.SBERT:
    """As it is when nobody asked for the transformer."""
    encoder = sbert.create()
    if encoder._bert is None:
        pytest.skip("there is a GPU: sentence-transformers computes")
    return encoder


@pytest.fixture(scope="module")
def whole() -> sbert.SBERT:
    encoder = sbert.create()
    assert encoder.transformer is encoder.transformer
    return encoder


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, len(TEXTS)])
def test_same_vectors(light: sbert.SBERT, whole: sbert.SBERT, count: int) -> None:
    ours = light.encode(TEXTS[:count])
    assert ours.shape == (count, 384)
    assert np.array_equal(ours, whole.encode(TEXTS[:count]))
    assert "transformer" not in vars(light)


def test_same_vectors_one_by_one(light: sbert.SBERT, whole: sbert.SBERT) -> None:
    for text in TEXTS[:12]:
        assert np.array_equal(light.encode([text]), whole.encode([text])), text


def test_the_stamp_is_the_same(light: sbert.SBERT, whole: sbert.SBERT) -> None:
    assert (light.model, light.revision, light.dimension) == (whole.model, whole.revision, whole.dimension)


def test_a_trained_transformer_is_the_one_that_encodes(whole: sbert.SBERT) -> None:
    import torch

    encoder = sbert.create()
    before = encoder.encode(["red"])
    with torch.no_grad():
        next(encoder.transformer.parameters()).mul_(0.5)
    assert not np.array_equal(encoder.encode(["red"]), before)
    assert np.array_equal(whole.encode(["red"]), before)


def test_one_text_imports_neither_library() -> None:
    code = (
        "import sys\n"
        "from retrieval.encoders import sbert\n"
        "encoder = sbert.create()\n"
        "encoder.encode(['red'])\n"
        "light = encoder._bert is not None\n"
        "print(light and [n for n in ('sentence_transformers', 'transformers') if n in sys.modules] or [])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr

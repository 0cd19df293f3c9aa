"""CLIP through a tiny model that the test makes itself: real loading code, no download."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.errors import AmeliError
from retrieval import encoders

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-test-clip.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / "tiny-test-clip.json")
    torch.manual_seed(0)
    network = open_clip.create_model("tiny-test-clip")
    place = folder / "checkpoint"
    place.mkdir()
    save_file(network.state_dict(), place / "open_clip_model.safetensors")
    (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    return place


def test_images_and_texts(checkpoint: Path, root: Path) -> None:
    encoder = encoders.image_encoder("clip", f"local-dir:{checkpoint}")
    folder = root / "product_images"
    good, gone = encoder.encode_images([folder / "10-0.png", folder / "gone.png"])
    assert isinstance(good, np.ndarray)
    assert good.shape == (encoder.dimension,) == (16,)
    assert np.linalg.norm(good) == pytest.approx(1)
    assert isinstance(gone, ImageProblem)
    assert gone.reason == "missing"
    texts = encoder.encode_texts(["a blender", "word " * 500])  # type: ignore[attr-defined]
    assert texts.shape == (2, 16)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1)


def test_the_revision_is_of_the_weights(checkpoint: Path) -> None:
    encoder = encoders.image_encoder("clip", f"local-dir:{checkpoint}")
    assert len(encoder.revision) == 16
    assert encoder.model == f"local-dir:{checkpoint}"


def test_a_checkpoint_file_with_its_architecture(checkpoint: Path, root: Path) -> None:
    model = f"tiny-test-clip/{checkpoint / 'open_clip_model.safetensors'}"
    by_file = encoders.image_encoder("clip", model)
    by_folder = encoders.image_encoder("clip", f"local-dir:{checkpoint}")
    path = [root / "product_images" / "10-0.png"]
    assert by_file.encode_images(path)[0] == pytest.approx(by_folder.encode_images(path)[0], abs=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("", "The image encoder 'clip' needs a model."),
        ("ViT-B-32", "The CLIP model 'ViT-B-32' has no pretrained tag."),
        ("ViT-B-32/weights.pt", "The checkpoint 'weights.pt' may run code when it is read."),
        ("no-such-model/openai", "Cannot load the CLIP model 'no-such-model/openai'"),
        (
            "local-dir:/no/such/folder",
            "No CLIP checkpoint in /no/such/folder: there is no .safetensors file.",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded(model: str, message: str) -> None:
    with pytest.raises(AmeliError) as caught:
        encoders.image_encoder("clip", model)
    assert str(caught.value).startswith(message)
    assert "retrieval.image_encoders" in str(caught.value)


def test_a_checkpoint_that_is_cut_off(checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint, broken)
    weights = broken / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AmeliError, match="Cannot load the CLIP model"):
        encoders.image_encoder("clip", f"local-dir:{broken}")

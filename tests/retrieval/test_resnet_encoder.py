"""ResNet through a tiny network with weights that the test makes itself: real loading code, no download."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.images import ImageProblem
from ameli_llm.dataset.load import Dataset
from ameli_llm.doctor import examine
from ameli_llm.errors import AmeliError
from ameli_llm.machine import Machine
from retrieval import encoders
from retrieval.building import build_index
from retrieval.index import open_index

NAME = "test_resnet"


def write_weights(path: Path, seed: int, *leave_out: str) -> Path:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    weights = timm.create_model(NAME, num_classes=10).state_dict()
    save_file({name: tensor for name, tensor in weights.items() if name not in leave_out}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("resnet") / "model.safetensors", 0)


def test_images(weights: Path, root: Path) -> None:
    encoder = encoders.image_encoder("resnet", f"{NAME}/{weights}")
    folder = root / "product_images"
    red, gone, blue = encoder.encode_images([folder / "10-0.png", folder / "gone.png", folder / "20-0.png"])
    assert isinstance(red, np.ndarray)
    assert isinstance(blue, np.ndarray)
    assert red.shape == (encoder.dimension,)
    assert encoder.dimension > 10, "the classifier of ten classes is gone"
    assert np.linalg.norm(red) == pytest.approx(1)
    assert not np.allclose(red, blue, atol=1e-3)
    assert isinstance(gone, ImageProblem)
    assert gone.reason == "missing"


def test_a_batch_gives_what_single_images_give(weights: Path, root: Path) -> None:
    encoder = encoders.image_encoder("resnet", f"{NAME}/{weights}")
    paths = sorted((root / "product_images").glob("*.png"))
    together = np.stack([v for v in encoder.encode_images(paths * 3) if isinstance(v, np.ndarray)])
    alone = np.stack([v for p in paths for v in encoder.encode_images([p]) if isinstance(v, np.ndarray)])
    assert np.abs(together - np.tile(alone, (3, 1))).max() < 1e-5


def test_the_revision_is_of_the_weights(weights: Path, tmp_path: Path) -> None:
    one = encoders.image_encoder("resnet", f"{NAME}/{weights}")
    again = encoders.image_encoder("resnet", f"{NAME}/{weights}")
    other = encoders.image_encoder("resnet", f"{NAME}/{write_weights(tmp_path / 'b.safetensors', 1)}")
    assert len(one.revision) == 16
    assert one.revision == again.revision != other.revision


def test_a_folder_as_timm_saves_it(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(weights.read_bytes())
    config = {"architecture": NAME, "num_classes": 10, "pretrained_cfg": {"input_size": [3, 96, 96]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    by_folder = encoders.image_encoder("resnet", f"local-dir:{tmp_path}")
    assert by_folder.revision == encoders.image_encoder("resnet", f"{NAME}/{weights}").revision


def test_an_index_of_it(dataset: Dataset, weights: Path, tmp_path: Path) -> None:
    config = RetrievalConfig(image_encoder="resnet", image_model=f"{NAME}/{weights}")
    built = build_index(dataset, tmp_path / "index", config)
    assert built.image_vectors().shape == (5, encoders.image_encoder("resnet", f"{NAME}/{weights}").dimension)
    assert str(open_index(tmp_path / "index", config).manifest.image()).startswith(f"resnet {NAME}/")


def test_the_default_is_the_papers() -> None:
    assert encoders.full_name("resnet", "") == "resnet152"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit_base_patch16_224", "timm has no ResNet named 'vit_base_patch16_224'."),
        ("resnet_no_such", "timm has no ResNet named 'resnet_no_such'."),
        ("resnet50/weights.pth", "The checkpoint 'weights.pth' is no .safetensors file."),
        ("resnet50/gone.safetensors", "No checkpoint at gone.safetensors."),
        ("local-dir:/no/such", "No ResNet checkpoint in /no/such: there is no model.safetensors."),
    ],
)
def test_a_model_that_cannot_be_loaded(model: str, message: str) -> None:
    with pytest.raises(AmeliError) as caught:
        encoders.image_encoder("resnet", model)
    assert str(caught.value).startswith(message)
    assert "retrieval.image_encoders" in str(caught.value)


@pytest.mark.parametrize("fault", ["cut off", "a layer missing", "another network"])
def test_weights_that_do_not_fit(weights: Path, tmp_path: Path, fault: str) -> None:
    path, name = tmp_path / "broken.safetensors", NAME
    path.write_bytes(weights.read_bytes())
    if fault == "cut off":
        path.write_bytes(weights.read_bytes()[:1000])
    elif fault == "a layer missing":
        write_weights(path, 0, "conv1.0.weight")
    else:
        name = "resnet18"
    with pytest.raises(AmeliError, match=f"Cannot load the ResNet '{name}/"):
        encoders.image_encoder("resnet", f"{name}/{path}")


def test_weights_that_are_not_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(AmeliError, match="Cannot load the ResNet 'resnet152'"):
        encoders.image_encoder("resnet")


@pytest.mark.parametrize(
    ("versions", "models", "status", "detail"),
    [
        ({}, (), "missing", "not installed: timm"),
        ({"timm": "1.0"}, (), "missing", "no ResNet of timm's in the hub cache"),
        ({"timm": "1.0"}, ("timm/vit_base_patch16_224.augreg",), "missing", "no ResNet of timm's"),
        ({"timm": "1.0"}, ("timm/resnet152.a1h_in1k",), "ok", "timm 1.0"),
    ],
)
def test_doctor(versions: dict[str, str], models: tuple[str, ...], status: str, detail: str) -> None:
    machine = Machine(versions=versions, hub_models=models)
    (found,) = (one for one in examine(machine) if (one.section, one.name) == ("encoders", "resnet"))
    assert found.status == status
    assert found.detail.startswith(detail)

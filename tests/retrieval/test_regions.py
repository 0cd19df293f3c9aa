"""Maps of image networks, region by region."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from ameli_llm.errors import AmeliError
from ameli_llm.models import known_model, packaged_file
from retrieval.encoders._efficientnet_export import pooled_network
from retrieval.regions import load_regions


def test_the_packaged_network_has_49_regions() -> None:
    regions = load_regions("efficientnet-lite2")
    picture = Image.new("RGB", (90, 60), (200, 30, 30))
    pixels = torch.from_numpy(regions.prepare(picture))[None]
    with torch.no_grad():
        found = regions.network(pixels)
    assert found.shape == (1, regions.width, 7, 7)
    assert (regions.name, regions.width) == ("efficientnet-lite2", 1280)
    assert not regions.network.training


def test_its_mean_is_what_retrieval_embeds() -> None:
    regions = load_regions("efficientnet-lite2")
    pixels = torch.from_numpy(regions.prepare(Image.linear_gradient("L").convert("RGB")))[None]
    pooled = pooled_network(packaged_file(known_model("efficientnet-lite2")))
    with torch.no_grad():
        torch.testing.assert_close(regions.network(pixels).mean((2, 3)), pooled(pixels))


@pytest.mark.slow
def test_a_resnet_of_a_folder(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("resnet10t", num_classes=0).state_dict(), tmp_path / "w.safetensors")
    regions = load_regions(f"resnet10t/{tmp_path / 'w.safetensors'}")
    pixels = torch.from_numpy(regions.prepare(Image.new("RGB", (300, 200), "blue")))[None]
    with torch.no_grad():
        found = regions.network(pixels)
    assert found.shape[:2] == (1, regions.width)
    assert found.shape[2] == found.shape[3] > 1
    same = load_regions(f"resnet10t/{tmp_path / 'w.safetensors'}")
    assert same.revision == regions.revision


def test_an_unknown_network() -> None:
    with pytest.raises(AmeliError, match="timm has no ResNet named 'vgg'"):
        load_regions("vgg")

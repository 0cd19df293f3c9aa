"""Writes the forward pass of a BERT with mean pooling as an ONNX graph, with its tokenizer beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ameli_llm.errors import first_line
from retrieval.encoders._exporting import TOLERANCE, failed, require_onnx, write_graph
from retrieval.encoders._onnx import IDS, MASK, NETWORK, TOKENIZER, Graph
from retrieval.encoders.encoder import normalised

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

PROBES = ("", "a red blender", "Größe 4TB \U0001f600", "word " * 1000)


def export(transformer: SentenceTransformer, model: str, place: Path) -> None:
    """Fills the empty folder ``place`` with what ``Graph`` opens.

    ``transformer`` is changed: float32, on the CPU, with plain attention. Raises MissingPackageError without
    onnx, AmeliError when torch cannot export the model or the graph does not give its vectors; OSError when
    the files cannot be written.
    """
    require_onnx()
    transformer.float().cpu().eval()
    try:
        _write_network(_bert(transformer), place / NETWORK)
    except OSError:
        raise
    except Exception as error:  # torch and its exporter raise their own types
        raise failed(f"the text model {model!r}", first_line(error)) from error
    (place / TOKENIZER).write_text(_tokenizer(transformer), encoding="utf-8")
    expected = normalised(transformer.encode(list(PROBES), show_progress_bar=False))
    difference = float(np.abs(Graph(place).vectors(PROBES) - expected).max())
    if not difference <= TOLERANCE:
        reason = f"the graph's vectors differ by {difference:.1g} from the model's"
        raise failed(f"the text model {model!r}", reason)


def _bert(transformer: SentenceTransformer) -> PreTrainedModel:
    model = transformer.transformers_model
    assert model is not None, "a BERT is a transformers model"
    return model


def _write_network(model: PreTrainedModel, path: Path) -> None:
    import torch

    model.set_attn_implementation("eager")

    class MeanBert(torch.nn.Module):
        """Token numbers and mask [n, t] to vectors [n, d] of length 1."""

        def __init__(self) -> None:
            super().__init__()
            self.bert = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            # The mask and the positions are given in full: what BERT makes of them itself is traced badly.
            away = (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
            states = self.bert(
                input_ids=ids,
                attention_mask=away,
                token_type_ids=torch.zeros_like(ids),
                position_ids=torch.arange(ids.shape[1])[None],
            ).last_hidden_state
            shares = mask.unsqueeze(-1).to(states.dtype)
            return torch.nn.functional.normalize((states * shares).sum(1) / shares.sum(1))

    example = torch.ones((2, 4), dtype=torch.int64)
    axes = {0: "texts", 1: "tokens"}
    inputs = {IDS: example, MASK: example}
    write_graph(MeanBert(), inputs, {IDS: axes, MASK: axes, "vectors": {0: "texts"}}, path)


def _tokenizer(transformer: SentenceTransformer) -> str:
    """The tokenizer as sentence-transformers uses it, cutting at the model's window, as JSON."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(transformer.tokenizer.backend_tokenizer.to_str())
    most = _bert(transformer).config.max_position_embeddings
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(transformer.max_seq_length or most, most))
    return str(tokenizer.to_str())

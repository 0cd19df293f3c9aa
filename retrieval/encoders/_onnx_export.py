"""Writes the forward pass of a BERT with mean pooling as an ONNX graph, with its tokenizer beside it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.install import install_line
from retrieval.encoders._onnx import IDS, MASK, NETWORK, TOKENIZER, Graph
from retrieval.encoders.encoder import normalised

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

OPSET = 20
PROBES = ("", "a red blender", "Größe 4TB \U0001f600", "word " * 1000)
TOLERANCE = 1e-5


def export(transformer: SentenceTransformer, model: str, place: Path) -> None:
    """Fills the empty folder ``place`` with what ``Graph`` opens.

    ``transformer`` is changed: float32, on the CPU, with plain attention. Raises MissingPackageError without
    onnx, AmeliError when torch cannot export the model or the graph does not give its vectors; OSError when
    the files cannot be written.
    """
    try:
        import onnx  # noqa: F401  # torch's exporter asks for it at its very end
    except ImportError as error:
        raise MissingPackageError("onnx", "retrieval") from error
    transformer.float().cpu().eval()
    try:
        _write_network(_bert(transformer), place / NETWORK)
    except OSError:
        raise
    except Exception as error:  # torch and its exporter raise their own types
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise _failed(model, first) from error
    (place / TOKENIZER).write_text(_tokenizer(transformer), encoding="utf-8")
    expected = normalised(transformer.encode(list(PROBES), show_progress_bar=False))
    difference = float(np.abs(Graph(place).vectors(PROBES) - expected).max())
    if not difference <= TOLERANCE:
        raise _failed(model, f"the graph's vectors differ by {difference:.1g} from the model's")


def _failed(model: str, reason: str) -> AmeliError:
    return AmeliError(
        f"Cannot export the text model {model!r} to ONNX: {reason}",
        hint=f"The versions of torch and onnx that it was tested with: {install_line('retrieval')}",
    )


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
    with warnings.catch_warnings():
        # The exporter of TorchScript is deprecated in favour of one that needs onnxscript as well.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            MeanBert().eval(),
            (example, example),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[IDS, MASK],
            output_names=["vectors"],
            dynamic_axes={IDS: axes, MASK: axes, "vectors": {0: "texts"}},
        )


def _tokenizer(transformer: SentenceTransformer) -> str:
    """The tokenizer as sentence-transformers uses it, cutting at the model's window, as JSON."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(transformer.tokenizer.backend_tokenizer.to_str())
    most = _bert(transformer).config.max_position_embeddings
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(transformer.max_seq_length or most, most))
    return str(tokenizer.to_str())

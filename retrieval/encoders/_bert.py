"""A BERT sentence encoder by torch alone: what sentence-transformers computes, without its imports.

They take seconds, which somebody with one review would wait for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.encoders.encoder import Vectors

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 32


class BertEncoder:
    """Reads a sentence-transformers folder of a BERT with mean pooling, such as all-MiniLM-L6-v2; on the CPU.

    Its vectors are those of sentence-transformers, bit by bit. May be used by several threads. Raises
    ImportError without torch, safetensors or tokenizers.
    """

    def __init__(self, folder: Path) -> None:
        import torch  # noqa: F401
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        config, window = (_json(folder / name) for name in ("config.json", "sentence_bert_config.json"))
        self.dimension: int = config["hidden_size"]
        self._heads: int = config["num_attention_heads"]
        self._layers: int = config["num_hidden_layers"]
        self._epsilon: float = config["layer_norm_eps"]
        self._weights: dict[str, Tensor] = load_file(folder / "model.safetensors")
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(window["max_seq_length"])
        self._tokenizer.enable_padding(pad_id=config["pad_token_id"])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, dimension], L2-normalised; texts are cut at the model's window, and batched longest first."""
        import torch

        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        order = np.argsort([-len(text) for text in texts])
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                vectors[rows] = self._vectors([texts[row] for row in rows]).numpy()
        return vectors

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        import torch
        from torch.nn.functional import normalize

        encoded = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([one.ids for one in encoded])
        mask = torch.tensor([one.attention_mask for one in encoded])
        among = None if bool(mask.all()) else mask[:, None, None, :].bool().expand(-1, 1, ids.shape[1], -1)
        hidden = self._embedded(ids)
        for layer in range(self._layers):
            hidden = self._layer(f"encoder.layer.{layer}", hidden, among)
        share = mask.unsqueeze(-1).expand(hidden.size()).to(hidden.dtype)
        mean = torch.sum(hidden * share, 1) / torch.clamp(share.sum(1), min=1e-9)
        return normalize(mean, p=2, dim=1)

    def _embedded(self, ids: Tensor) -> Tensor:
        words = self._weights["embeddings.word_embeddings.weight"][ids]
        kind = self._weights["embeddings.token_type_embeddings.weight"][0]
        places = self._weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        return self._norm("embeddings.LayerNorm", words + kind + places)

    def _layer(self, name: str, hidden: Tensor, among: Tensor | None) -> Tensor:
        from torch.nn.functional import gelu, scaled_dot_product_attention

        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", hidden)
            .view(*hidden.shape[:-1], self._heads, -1)
            .transpose(1, 2)
            for part in ("query", "key", "value")
        )
        found = scaled_dot_product_attention(query, key, value, attn_mask=among)
        found = found.transpose(1, 2).reshape(hidden.shape)
        seen = self._linear(f"{name}.attention.output.dense", found) + hidden
        seen = self._norm(f"{name}.attention.output.LayerNorm", seen)
        wide = gelu(self._linear(f"{name}.intermediate.dense", seen))
        return self._norm(f"{name}.output.LayerNorm", self._linear(f"{name}.output.dense", wide) + seen)

    def _linear(self, name: str, values: Tensor) -> Tensor:
        from torch.nn.functional import linear

        return linear(values, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, values: Tensor) -> Tensor:
        from torch.nn.functional import layer_norm

        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return layer_norm(values, (self.dimension,), weight, bias, self._epsilon)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))

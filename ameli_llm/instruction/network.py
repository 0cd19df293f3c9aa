"""A causal language model under training: its loss on packed exercises, and which answers it gets right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ameli_llm.errors import MissingPackageError
from ameli_llm.instruction.packing import Packed

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "smollm2") from error


_STEP = 128
"""Rows are padded to a multiple of as many tokens: kernels are made anew for every length."""


class Learner(torch.nn.Module):
    """Computes outputs at the answers' places only. ``network``: a model of transformers, or one of peft."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        core = network.get_base_model() if hasattr(network, "get_base_model") else network
        self._body, self._head = core.model, core.get_output_embeddings()

    def loss(self, packed: Sequence[Packed]) -> torch.Tensor:
        """Mean negative log-likelihood of an answer token, each exercise with equal weight; a scalar."""
        logits, tokens, rows, _ = self._outputs(packed)
        losses = torch.nn.functional.cross_entropy(logits.float(), tokens, reduction="none")
        counts = torch.bincount(rows, minlength=len(packed))
        return (losses / counts[rows]).sum() / len(packed)

    @torch.no_grad()
    def right(self, packed: Sequence[Packed]) -> list[list[bool]]:
        """For each example of each exercise, whether greedy decoding gives its answer token for token."""
        logits, tokens, rows, examples = self._outputs(packed)
        hits = (logits.argmax(dim=-1) == tokens).tolist()
        found = [[True] * one.examples for one in packed]
        for hit, row, example in zip(hits, rows.tolist(), examples.tolist(), strict=True):
            found[row][example] &= hit
        return found

    def _outputs(
        self, packed: Sequence[Packed]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits at the targets [n, vocabulary], their tokens, exercises and examples [n]."""
        where = self._head.weight.device
        width = -(-max(len(one.tokens) for one in packed) // _STEP) * _STEP
        tokens = torch.zeros((len(packed), width), dtype=torch.long)
        positions = torch.zeros_like(tokens)
        visible = torch.eye(width, dtype=torch.bool).repeat(len(packed), 1, 1)
        for row, one in enumerate(packed):
            length = len(one.tokens)
            tokens[row, :length] = torch.from_numpy(one.tokens)
            positions[row, :length] = torch.from_numpy(one.positions)
            visible[row, :length, :length] = torch.from_numpy(one.visible)
        kind = torch.get_autocast_dtype(where.type) if torch.is_autocast_enabled(where.type) else None
        kind = kind or self._head.weight.dtype
        mask = torch.zeros(visible.shape, dtype=kind).masked_fill(~visible, torch.finfo(kind).min)
        hidden = self._body(
            input_ids=tokens.to(where),
            position_ids=positions.to(where),
            attention_mask=mask[:, None].to(where),
            use_cache=False,
        ).last_hidden_state
        targets = [
            np.column_stack([np.full(len(one.targets), row), one.targets]) for row, one in enumerate(packed)
        ]
        rows, places, wanted, examples = torch.from_numpy(np.concatenate(targets)).T.to(where)
        return self._head(hidden[rows, places]), wanted, rows, examples

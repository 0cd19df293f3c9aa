"""Attention of grouped heads and a cache of keys and values, both without copying the cache at every step."""

from __future__ import annotations

from typing import Any

from ameli_llm.errors import MissingPackageError

try:
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.cache_utils import DynamicLayer
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask
except ImportError as error:
    raise MissingPackageError("transformers", "transformers") from error

FOLDED = "ameli_folded"
"""Name of ``folded_attention`` among the attention functions of transformers."""


def folded_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention; the query heads that share a key head count as more positions of it.

    transformers repeats keys and values for every query head instead, whenever there is a mask: at a step of
    decoding that copies the whole cache several times. ``query`` is [b, h, s, d], ``key`` and ``value``
    [b, h / groups, l, d], the mask [b or 1, 1, s, l]; the result is [b, s, h, d].
    """
    groups = getattr(module, "num_key_value_groups", 1)
    rows, heads, steps, _ = query.shape
    causal = attention_mask is None and steps > 1
    if groups == 1 or causal or any(options.get(name) is not None for name in ("position_bias", "s_aux")):
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
    folded = query.reshape(rows, heads // groups, groups * steps, -1)
    mask = None if attention_mask is None else attention_mask.repeat(1, 1, groups, 1)
    found = torch.nn.functional.scaled_dot_product_attention(
        folded, key, value, attn_mask=mask, scale=scaling
    )
    return found.view(rows, heads, steps, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(FOLDED, folded_attention)
AttentionMaskInterface.register(FOLDED, sdpa_mask)


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer in a buffer with room for ``room`` tokens: steps write, nothing is copied.

    Whatever a model's layer looks at (a sliding window), all tokens stay: its mask leaves the others out.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._length = 0
        self._buffers: tuple[torch.Tensor, ...] = ()

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Makes the buffers, all zeros, like these states but as long as there is room."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._buffers = tuple(
            states.new_zeros(*states.shape[:2], self._room, states.shape[-1])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of all tokens up to these, which are written behind the others."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._length + key_states.shape[-2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, self._length : end] = states
        self.cut(end)
        return self.keys, self.values

    def cut(self, length: int) -> None:
        """Forgets all tokens but the first ``length``."""
        self._length = length
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)

    def get_seq_length(self) -> int:
        """Tokens in the cache."""
        return self._length

    def widened(self, rows: int, more: int) -> RoomyLayer:
        """A copy for ``rows`` sequences that begin with this one's tokens, with room for ``more``."""
        layer = RoomyLayer(self._length + more)
        layer.update(self.keys.expand(rows, -1, -1, -1), self.values.expand(rows, -1, -1, -1))
        return layer

    def alike(self, rows: int, room: int, length: int) -> RoomyLayer:
        """An empty cache for ``rows`` sequences of ``length`` tokens each, which ``take`` then fills."""
        layer = RoomyLayer(room)
        layer.lazy_initialization(
            *(states[:1].expand(rows, -1, -1, -1) for states in (self.keys, self.values))
        )
        layer.cut(length)
        return layer

    def keep(self, rows: list[int]) -> None:
        """Forgets all sequences but these."""
        self._buffers = tuple(buffer[rows] for buffer in self._buffers)
        self.cut(self._length)

    def take(self, row: int, source: RoomyLayer, source_row: int, length: int, end: int) -> None:
        """Copies the first ``length`` tokens of another cache's sequence so that they end before ``end``."""
        for mine, other in zip(self._buffers, source._buffers, strict=True):
            mine[row, :, end - length : end] = other[source_row, :, :length]

"""Attention of grouped heads and a cache of keys and values, both without copying the cache at every step."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from ameli_llm.errors import MissingPackageError

try:
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.cache_utils import Cache, DynamicLayer
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
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    folded = query.reshape(rows, heads // groups, groups * steps, -1)
    mask = None if attention_mask is None else attention_mask.repeat(1, 1, groups, 1)
    found = torch.nn.functional.scaled_dot_product_attention(
        folded, key, value, attn_mask=mask, scale=scaling
    )
    return found.view(rows, heads, steps, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(FOLDED, folded_attention)
AttentionMaskInterface.register(FOLDED, sdpa_mask)


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer in buffers with room for ``room`` tokens: steps write, nothing is copied.

    Whatever a model's layer looks at (a sliding window), all tokens stay: its mask leaves the others out.
    """

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room = room
        self._length = 0
        self.buffers: tuple[torch.Tensor, ...] = ()

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Makes the buffers, all zeros, like these states but as long as there is room."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.buffers = tuple(
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
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self._length : end] = states
        return self.cut(end)

    def cut(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the first ``length`` tokens; the others are forgotten."""
        self._length = length
        keys, values = (buffer[:, :, :length] for buffer in self.buffers)
        self.keys, self.values = keys, values
        return keys, values

    def get_seq_length(self) -> int:
        """Tokens in the cache."""
        return self._length

    def widened(self, rows: int, more: int) -> RoomyLayer:
        """A copy for ``rows`` sequences that begin with this one's tokens, with room for ``more``."""
        layer = RoomyLayer(self._length + more)
        keys, values = (states.expand(rows, -1, -1, -1) for states in self.cut(self._length))
        layer.update(keys, values)
        return layer

    def alike(self, rows: int, room: int, length: int) -> RoomyLayer:
        """A cache for ``rows`` sequences of ``length`` tokens each, all zeros."""
        layer = RoomyLayer(room)
        keys, values = (buffer[:1].expand(rows, -1, -1, -1) for buffer in self.buffers)
        layer.lazy_initialization(keys, values)
        layer.cut(length)
        return layer

    def keep(self, rows: list[int]) -> None:
        """Forgets all sequences but these."""
        self.buffers = tuple(buffer[rows] for buffer in self.buffers)
        self.cut(self._length)


class RoomyCache(Cache):
    """The caches of all layers, which come into being at the first pass."""

    def __init__(self, room: int) -> None:
        layer: Any = partial(RoomyLayer, room)
        super().__init__(layer_class_to_replicate=layer)
        self._room = room

    def cut(self, length: int) -> None:
        """Forgets all tokens but the first ``length``."""
        for layer in self._roomy():
            layer.cut(length)

    def keep(self, rows: list[int]) -> None:
        """Forgets all sequences but these, and copies what stays."""
        for layer in self._roomy():
            layer.keep(rows)

    def widened(self, rows: int, more: int) -> RoomyCache:
        """A copy for ``rows`` sequences that begin with this one's tokens, with room for ``more``."""
        cache = RoomyCache(more)
        cache.layers.extend(layer.widened(rows, more) for layer in self._roomy())
        return cache

    def prepare(self, like: RoomyCache, rows: int, length: int) -> None:
        """Makes the layers for ``rows`` sequences of ``length`` tokens; ``take`` fills them."""
        self.layers.extend(layer.alike(rows, self._room, length) for layer in like._roomy())

    def take(self, row: int, source: RoomyCache, source_row: int, length: int, end: int) -> None:
        """Copies the first ``length`` tokens of another cache's sequence so that they end before ``end``."""
        for mine, other in zip(self._roomy(), source._roomy(), strict=True):
            for to, given in zip(mine.buffers, other.buffers, strict=True):
                to[row, :, end - length : end] = given[source_row, :, :length]

    def _roomy(self) -> list[RoomyLayer]:
        return cast("list[RoomyLayer]", self.layers)

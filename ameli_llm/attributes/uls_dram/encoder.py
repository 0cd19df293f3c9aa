"""Words and regions in one linguistic space: ULS-L, ULS-VL and TIR (Liu et al., sections 3.1 and 3.2)."""

from __future__ import annotations

import math

from ameli_llm.attributes.tagging.text_encoder import TextEncoder
from ameli_llm.attributes.uls_dram.settings import UlsDramSettings
from ameli_llm.errors import AmeliError, MissingPackageError

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error


class Attention(torch.nn.Module):
    """Equation 2: Q K^T / sqrt(D') V, without a softmax unless one is asked for."""

    def __init__(self, width: int, size: int, *, softmax: bool) -> None:
        super().__init__()
        self.query = torch.nn.Linear(width, size, bias=False)
        self.key = torch.nn.Linear(width, size, bias=False)
        self.value = torch.nn.Linear(width, size, bias=False)
        self._root = math.sqrt(size)
        self._softmax = softmax

    def forward(self, asking: torch.Tensor, asked: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """[n, s1, D'] of ``asking`` [n, s1, D], ``asked`` [n, s2, D]; ``there`` [n, s2] says what counts."""
        scores = self.query(asking) @ self.key(asked).transpose(1, 2) / self._root
        if self._softmax:
            scores = scores.masked_fill(~there[:, None], torch.finfo(scores.dtype).min).softmax(2)
        found: torch.Tensor = (scores * there[:, None]) @ self.value(asked)
        return found


class Fusion(torch.nn.Module):
    """What a text encoder reads of words and regions; its states are of the words only.

    Regions are projected to the width of word embeddings (section 3.1). A text without a picture has none.
    """

    def __init__(self, settings: UlsDramSettings, width: int, image: int) -> None:
        super().__init__()
        self.kind = settings.fusion
        self.project = torch.nn.Linear(image, width)
        size = settings.attention or width
        if self.kind != "vanilla":
            self.within = Attention(width, size, softmax=settings.softmax)
            self.back = torch.nn.Linear(size, width, bias=False)
        if self.kind == "tir":
            self.across = Attention(width, size, softmax=settings.softmax)

    def forward(
        self,
        text: TextEncoder,
        ids: torch.Tensor,
        attention: torch.Tensor,
        regions: torch.Tensor,
        seen: torch.Tensor,
    ) -> torch.Tensor:
        """States of the tokens [n, t, D], of regions [n, k, v]; ``seen`` [n] says which texts have some."""
        words, patches = text.embedded(ids), self.project(regions)
        there = seen[:, None].expand(patches.shape[:2])
        if self.kind == "tir":
            return text.encoded(self.fused(words, patches, attention.bool(), there), attention)
        both = torch.cat([words, patches], 1)
        mask = torch.cat([attention, there.to(attention.dtype)], 1)
        if both.shape[1] > text.window:
            raise AmeliError(
                f"{words.shape[1]} tokens and {patches.shape[1]} regions are more than the {text.window} "
                f"that {text.name} reads.",
                hint="Lower max_tokens, or take fusion tir, where regions are no tokens.",
            )
        if self.kind == "self_attention":
            both = both + self.back(self.within(both, both, mask.bool()))
        return text.encoded(both, mask)[:, : words.shape[1]]

    def fused(
        self, words: torch.Tensor, patches: torch.Tensor, tokens: torch.Tensor, there: torch.Tensor
    ) -> torch.Tensor:
        """E_m of equation 5: text asks itself (equation 3) and the picture (equation 4)."""
        found: torch.Tensor = words + self.back(
            self.within(words, words, tokens) + self.across(words, patches, there)
        )
        return found

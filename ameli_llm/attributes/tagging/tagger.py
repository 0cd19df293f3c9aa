"""The base of trained taggers: what they are made of, and how they read a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ameli_llm.attributes.tagging.batches import Batch
from ameli_llm.attributes.tagging.pictures import RegionNetwork
from ameli_llm.attributes.tagging.tags import Said
from ameli_llm.attributes.tagging.text_encoder import LstmEncoder, TextEncoder
from ameli_llm.errors import MissingPackageError

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error


class Tagger(torch.nn.Module, ABC):
    """A network over a text encoder and, where it looks at pictures, an image network.

    An encoder that is frozen is no part of the weights that are trained and kept.
    """

    def __init__(
        self, text: TextEncoder | LstmEncoder, image: RegionNetwork | None, *, frozen: bool, labels: int
    ) -> None:
        super().__init__()
        self.text = text
        self.image = image.network if image else None
        self.labels = labels
        self.frozen_text = frozen and isinstance(text, TextEncoder)
        self.frozen_image = frozen and image is not None
        text.requires_grad_(not self.frozen_text)
        if self.image is not None:
            self.image.requires_grad_(not frozen)

    @abstractmethod
    def loss(self, batch: Batch) -> torch.Tensor:
        """The mean loss of the texts, a scalar."""

    @abstractmethod
    def said(self, batch: Batch) -> list[Said]:
        """What it says of each text; called without gradients in evaluation mode."""

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def states(self, batch: Batch) -> torch.Tensor:
        """States of the tokens [n, t, d], from the batch where a frozen encoder made them before."""
        if batch.states is not None:
            return batch.states
        found: torch.Tensor = self.text(batch.ids, batch.attention)
        return found

    def regions(self, batch: Batch) -> torch.Tensor | None:
        """Features of the regions [n, k, v], zeros without a picture; None when no text has one."""
        if batch.regions is not None:
            return batch.regions
        if self.image is None or batch.pixels is None or batch.seen is None:
            return None
        found = self.look(batch.pixels)
        return found * batch.seen[:, None, None]

    def look(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, k, v]: the last map of the image network, region after region."""
        assert self.image is not None
        return self.image(pixels).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


def at_words(batch: Batch, tags: Sequence[Sequence[int]]) -> list[list[int]]:
    """The tags of each text [n, t] at its words only."""
    return [
        [tag for tag, word in zip(row, mask, strict=True) if word]
        for row, mask in zip(tags, batch.words.tolist(), strict=True)
    ]

"""The feature decoder: a bidirectional LSTM and a linear-chain CRF (Liu et al., sections 3.1 and 4.2)."""

from __future__ import annotations

from ameli_llm.attributes.tagging.text_encoder import bidirectional
from ameli_llm.errors import MissingPackageError

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error


class Decoder(torch.nn.Module):
    """Features [n, t, ``width``] to tags; ``words`` [n, t] is true from the first token to the last."""

    def __init__(self, width: int, states: int, tags: int) -> None:
        super().__init__()
        try:
            from torchcrf import CRF
        except ImportError as error:
            raise MissingPackageError("pytorch-crf", "retrieval") from error
        self.lstm = torch.nn.LSTM(width, states // 2, batch_first=True, bidirectional=True)
        self.emit = torch.nn.Linear(states, tags)
        self.crf = CRF(tags, batch_first=True)

    def emissions(self, features: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Scores of the tags, [n, t, tags], in full precision."""
        found: torch.Tensor = self.emit(bidirectional(self.lstm, features, words))
        return found.float()

    def loss(self, features: torch.Tensor, words: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
        """The mean negative log-likelihood of the sequences [n, t]."""
        likelihood: torch.Tensor = self.crf(
            self.emissions(features, words), tags, mask=words, reduction="mean"
        )
        return -likelihood

    def best(self, features: torch.Tensor, words: torch.Tensor) -> list[list[int]]:
        """The likeliest tags of each sequence, at its words."""
        found: list[list[int]] = self.crf.decode(self.emissions(features, words), mask=words)
        return found

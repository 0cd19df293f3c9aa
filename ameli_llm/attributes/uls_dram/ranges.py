"""Attribute range minimization: which attributes a text has, and what guides the decoder to each of them.

Liu et al., section 3.3. Three policies: a learned prototype an attribute, layers of the attribute's own
(DyNet), or the attribute's name as the pretrained encoder reads it (BERT).
"""

from __future__ import annotations

from collections.abc import Sequence

from ameli_llm.attributes.tagging.text_encoder import TextEncoder
from ameli_llm.attributes.tagging.words import WordCutter
from ameli_llm.attributes.uls_dram.settings import UlsDramSettings
from ameli_llm.errors import MissingPackageError

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error


class Range(torch.nn.Module):
    """The head of equation 6, and the features that the decoder reads for one attribute of a text."""

    def __init__(
        self, settings: UlsDramSettings, labels: Sequence[str], text: TextEncoder, cutter: WordCutter
    ) -> None:
        super().__init__()
        self.policy = settings.attributes
        self.threshold, self.most = settings.threshold, settings.most
        self.classify = torch.nn.Linear(text.width, len(labels), bias=False)
        if self.policy == "prototype":
            self.prototypes = torch.nn.Parameter(torch.randn(len(labels), text.width))
        elif self.policy == "bert":
            self.register_buffer("prototypes", name_vectors(labels, text, cutter))
        else:
            scale = text.width**-0.5
            self.layers = torch.nn.Parameter(torch.randn(len(labels), text.width, settings.dynet) * scale)
        self.width = settings.dynet if self.policy == "dynet" else 2 * text.width
        """Length of the decoder's features."""

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """What equation 6 takes the sigmoid of, [n, labels]; ``states`` [n, t, D] begin with [CLS]."""
        found: torch.Tensor = self.classify(states[:, 0])
        return found

    def selected(
        self, logits: torch.Tensor, gold: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Texts and attributes that are decoded, one beside the other (equation 7), by text.

        With ``gold`` [n, labels], in training, the attributes that a text states are among them; of the
        others the likeliest, ``most`` of a text altogether.
        """
        chances = torch.sigmoid(logits.detach().float())
        chosen = chances > self.threshold
        if gold is not None:
            chosen = chosen | (gold > 0)
            chances = chances + gold
        if self.most < chances.shape[1]:
            first = torch.zeros_like(chosen)
            first.scatter_(1, chances.topk(self.most, 1).indices, torch.ones_like(chosen))
            chosen = chosen & first
        rows, attributes = chosen.nonzero(as_tuple=True)
        return rows, attributes

    def features(self, states: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """[p, t, ``width``] of states [p, t, D] and attribute numbers [p].

        Equation 8 for prototypes and names: the state, and the state times its cosine with the prototype.
        """
        if self.policy == "dynet":
            return states @ self.layers[attributes]
        prototype = self.prototypes[attributes][:, None]
        cosine = torch.nn.functional.cosine_similarity(prototype, states, dim=2)
        return torch.cat([states, cosine[..., None] * states], 2)


def name_vectors(labels: Sequence[str], text: TextEncoder, cutter: WordCutter) -> torch.Tensor:
    """The mean state of each attribute's name, [labels, D], by the encoder as it is before training."""
    found = torch.zeros(len(labels), text.width)
    was_training = text.training
    text.eval()
    with torch.no_grad():
        for at, words in enumerate(cutter.cut(labels)):
            if words.places:
                ids = torch.tensor([words.ids])
                states = text(ids, torch.ones_like(ids))[0]
                found[at] = states[words.before : words.before + len(words.places)].mean(0)
    text.train(was_training)
    return found

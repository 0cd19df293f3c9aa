"""M-JAVE, equation by equation: attribute prediction and value extraction from text and picture.

Zhu et al., "Multimodal Joint Attribute Prediction and Value Extraction for E-commerce Product", EMNLP 2020.
What its equations leave open: the sums over i and the attention are over the text's own tokens, without
[CLS] and [SEP]; h_0 is the state of [CLS]; v_G is the mean of the regions, which is what the last pooling of
a ResNet gives. Both gates are one number, for a token and for a region. The four terms of equation 9 have the
size of the attention, since its last one has, and a linear layer leads from their sum to the tags. A text
without a picture has no visual term.
"""

from __future__ import annotations

import math

from ameli_llm.attributes.mjave.settings import MjaveSettings
from ameli_llm.attributes.tagging import tags
from ameli_llm.attributes.tagging.batches import Batch
from ameli_llm.attributes.tagging.pictures import RegionNetwork
from ameli_llm.attributes.tagging.tagger import Tagger, at_words
from ameli_llm.attributes.tagging.tags import Said
from ameli_llm.attributes.tagging.text_encoder import LstmEncoder, TextEncoder
from ameli_llm.errors import MissingPackageError

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

SMALLEST = 1e-8
"""Probabilities below it count as it in equation 13."""

CHOSEN = 0.5
"""An attribute is predicted from this probability on."""


class CrossModality(torch.nn.Module):
    """The global-gated cross-modality attention layer (section 2.4)."""

    def __init__(self, text: int, image: int, size: int) -> None:
        super().__init__()
        self.query_text = torch.nn.Linear(text, size, bias=False)
        self.key_text = torch.nn.Linear(text, size, bias=False)
        self.value_text = torch.nn.Linear(text, size, bias=False)
        self.image = image
        if image:
            self.query_image = torch.nn.Linear(text, size, bias=False)
            self.key_image = torch.nn.Linear(image, size, bias=False)
            self.value_image = torch.nn.Linear(image, size, bias=False)
            self.gate_text = torch.nn.Linear(text, 1, bias=False)
            self.gate_image = torch.nn.Linear(image, 1)
        self._root = math.sqrt(size)

    def within_text(self, states: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """The first term of equation 5, [n, t, d]: self-attention over the words (equations 1 and 2)."""
        scores = self.query_text(states) @ self.key_text(states).transpose(1, 2) / self._root
        weights = scores.masked_fill(~words[:, None, :], -torch.inf).softmax(2)
        found: torch.Tensor = weights @ self.value_text(states)
        return found

    def over_regions(self, states: torch.Tensor, regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention of each token over the regions [n, t, k] (equations 3 and 4), their values [n, k, d]."""
        scores = self.query_image(states) @ self.key_image(regions).transpose(1, 2) / self._root
        return scores.softmax(2), self.value_image(regions)

    def gate(self, states: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        """The global visual gate of each token, [n, t, 1] (equation 6); ``whole`` is v_G [n, v]."""
        found: torch.Tensor = torch.sigmoid(self.gate_text(states) + self.gate_image(whole)[:, None])
        return found


class AttributeHead(torch.nn.Module):
    """Product attribute prediction (section 2.5)."""

    def __init__(self, text: int, size: int, labels: int) -> None:
        super().__init__()
        self.of_words = torch.nn.Linear(text, labels, bias=False)
        self.of_fused = torch.nn.Linear(size, labels, bias=False)
        self.of_whole = torch.nn.Linear(text, labels, bias=False)

    def forward(self, states: torch.Tensor, fused: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """The logits of equation 7, [n, labels]."""
        mask = words[..., None]
        found: torch.Tensor = (
            self.of_words((states * mask).sum(1))
            + self.of_fused((fused * mask).sum(1))
            + self.of_whole(states[:, 0])
        )
        return found


class ValueHead(torch.nn.Module):
    """Product value extraction with the regional visual gate (section 2.6)."""

    def __init__(self, text: int, image: int, size: int, labels: int) -> None:
        super().__init__()
        self.of_words = torch.nn.Linear(text, size, bias=False)
        self.of_fused = torch.nn.Linear(size, size, bias=False)
        self.of_attributes = torch.nn.Linear(labels, size, bias=False)
        if image:
            self.gate_attributes = torch.nn.Linear(labels, 1, bias=False)
            self.gate_regions = torch.nn.Linear(image, 1, bias=False)
        self.tags = torch.nn.Linear(size, tags.count(labels))

    def gate(self, attributes: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        """The regional visual gate, [n, k] (equation 10)."""
        found: torch.Tensor = torch.sigmoid(
            self.gate_attributes(attributes) + self.gate_regions(regions).squeeze(2)
        )
        return found


class Mjave(Tagger):
    """M-JAVE and its ablations; ``labels`` attributes. JAVE where there is no image network."""

    def __init__(
        self,
        settings: MjaveSettings,
        labels: int,
        text: TextEncoder | LstmEncoder,
        image: RegionNetwork | None,
    ) -> None:
        super().__init__(text, image, frozen=settings.frozen, labels=labels)
        self.settings = settings
        self.without = frozenset(settings.without)
        width = image.width if image else 0
        self.fusion = CrossModality(text.width, width, settings.attention)
        self.attribute_head = AttributeHead(text.width, settings.attention, labels)
        self.value_head = ValueHead(text.width, width, settings.attention, labels)
        self.own_fusion = (
            CrossModality(text.width, width, settings.attention) if "multitask" in self.without else None
        )
        """The layer that value extraction has for itself when the tasks are apart."""

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the attributes [n, labels] (equation 7) and of the tags [n, t, tags] (equation 9)."""
        states, regions = self.states(batch), self.regions(batch)
        fused, attended = self._fused(self.fusion, states, regions, batch)
        attributes = self.attribute_head(states, fused, batch.words)
        if self.own_fusion is not None:
            fused, attended = self._fused(self.own_fusion, states, regions, batch)
            return attributes, self._values(states, fused, None, regions, attended)
        known = batch.wanted if self.settings.gold == "attributes" else torch.sigmoid(attributes)
        return attributes, self._values(states, fused, known, regions, attended)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Equation 14, the mean over the texts: both tasks' losses and the divergence between them.

        Each is a sum, over the attributes (equations 8 and 13) or over the words (equation 11) of a text.
        """
        attributes, values = (found.float() for found in self(batch))
        words = batch.words
        of_attributes = torch.nn.functional.binary_cross_entropy_with_logits(
            attributes, batch.wanted, reduction="sum"
        )
        of_values = torch.nn.functional.cross_entropy(values[words], batch.tags[words], reduction="sum")
        loss = (of_attributes + of_values) / len(words)
        if self.settings.kl and not {"kl", "multitask"} & self.without:
            loss = loss + self.settings.kl * self._divergence(attributes, values, batch)
        return loss

    def said(self, batch: Batch) -> list[Said]:
        """The best tag of each word, and the attributes of a probability of ``CHOSEN`` or more."""
        attributes, values = self(batch)
        known = batch.wanted if self.settings.gold == "attributes" else torch.sigmoid(attributes)
        chosen = (known >= CHOSEN).tolist()
        return [
            Said(tuple(tags.runs_of(row)), tuple(at for at, is_in in enumerate(named) if is_in))
            for row, named in zip(at_words(batch, values.argmax(2).tolist()), chosen, strict=True)
        ]

    def _fused(
        self, layer: CrossModality, states: torch.Tensor, regions: torch.Tensor | None, batch: Batch
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]:
        """h' of equation 5 [n, t, d]; the weights and values of the regions, zeros without a picture."""
        fused = layer.within_text(states, batch.words)
        if regions is None:
            return fused, None
        assert batch.seen is not None
        weights, values = layer.over_regions(states, regions)
        weights = weights * batch.seen[:, None, None]
        if "global_attention" not in self.without:
            visual = weights @ values
            if "global_gate" not in self.without:
                visual = layer.gate(states, regions.mean(1)) * visual
            fused = fused + visual
        return fused, (weights, values)

    def _values(
        self,
        states: torch.Tensor,
        fused: torch.Tensor,
        attributes: torch.Tensor | None,
        regions: torch.Tensor | None,
        attended: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """The logits of equation 9; without ``attributes`` nothing of the other task is in them."""
        head = self.value_head
        total = head.of_words(states) + head.of_fused(fused)
        if attributes is not None and "attributes" not in self.without:
            total = total + head.of_attributes(attributes)[:, None]
        if attended is not None and regions is not None and "regional_attention" not in self.without:
            weights, values = attended
            if "regional_gate" not in self.without:
                known = attributes if attributes is not None else regions.new_zeros(len(regions), self.labels)
                weights = weights * head.gate(known, regions)[:, None]
            total = total + weights @ values
        found: torch.Tensor = head.tags(total)
        return found

    def _divergence(self, attributes: torch.Tensor, values: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Equation 13, the mean over the texts; as written, of numbers that do not add up to 1."""
        gold = self.settings.gold
        said = batch.wanted if gold == "attributes" else torch.sigmoid(attributes)
        if gold == "values":
            chances = torch.nn.functional.one_hot(batch.tags, values.shape[2]).to(values.dtype)
        else:
            chances = values.softmax(2)
        mapped = from_tags(chances, batch.words).clamp(min=SMALLEST)
        said = said.clamp(min=SMALLEST)
        return (said * (said / mapped).log()).sum(1).mean()


def from_tags(chances: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Equation 12: of each attribute the mean of its greatest B and its greatest I among the words [n, l]."""
    highest = chances.masked_fill(~words[..., None], 0).amax(1)
    return (highest[:, 1::2] + highest[:, 2::2]) / 2

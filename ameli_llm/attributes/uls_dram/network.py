"""ULS-DRAM: encoders fine-tuned together, words that ask the picture, and a decoder for likely attributes.

Liu et al., "Boosting Multi-Modal E-commerce Attribute Value Extraction via Unified Learning Scheme and
Dynamic Range Minimization", 2022. What the paper leaves open: the feature that equation 6 classifies is the
state of [CLS]; in training the decoder sees the attributes that a text states and those that equation 7
selects wrongly, of which all tags are "O"; the two losses have equal weight.
"""

from __future__ import annotations

from collections.abc import Sequence

from ameli_llm.attributes.tagging import tags
from ameli_llm.attributes.tagging.batches import Batch
from ameli_llm.attributes.tagging.pictures import RegionNetwork
from ameli_llm.attributes.tagging.tagger import Tagger
from ameli_llm.attributes.tagging.tags import Run, Said
from ameli_llm.attributes.tagging.text_encoder import TextEncoder
from ameli_llm.attributes.tagging.words import WordCutter
from ameli_llm.attributes.uls_dram.decoder import Decoder
from ameli_llm.attributes.uls_dram.encoder import Fusion
from ameli_llm.attributes.uls_dram.ranges import Range
from ameli_llm.attributes.uls_dram.settings import UlsDramSettings
from ameli_llm.errors import MissingPackageError

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

BIO = 3
"""Tags of the decoder that is guided to one attribute."""


class UlsDram(Tagger):
    """ULS-L, ULS-VL and ULS-DRAM, as the settings say."""

    text: TextEncoder

    def __init__(
        self,
        settings: UlsDramSettings,
        labels: Sequence[str],
        text: TextEncoder,
        image: RegionNetwork | None,
        cutter: WordCutter,
    ) -> None:
        super().__init__(text, image, frozen=False, labels=len(labels))
        self.fusion = Fusion(settings, text.width, image.width) if image else None
        guided = settings.attributes != "all"
        self.range = Range(settings, labels, text, cutter) if guided else None
        width = self.range.width if self.range else text.width
        states = settings.lstm or 2 * (text.width // 2)
        self.decoder = Decoder(width, states, BIO if guided else tags.count(len(labels)))

    def encoded(self, batch: Batch) -> torch.Tensor:
        """f(T, V) of equation 6: states of the tokens [n, t, D]."""
        regions = self.regions(batch)
        if self.fusion is None:
            return self.states(batch)
        if regions is None:  # no text of the batch has a picture
            regions = batch.attention.new_zeros((len(batch.ids), 1, self.fusion.project.in_features))
            regions = regions.to(self.fusion.project.weight.dtype)
        assert batch.seen is not None
        return self.fusion(self.text, batch.ids, batch.attention, regions, batch.seen)  # type: ignore[no-any-return]

    def loss(self, batch: Batch) -> torch.Tensor:
        """The CRF's negative log-likelihood and, with a range, binary cross-entropy over the attributes."""
        states = self.encoded(batch)
        features, words = self._at_words(states, batch)
        wanted = batch.tags[:, -words.shape[1] :]
        if self.range is None:
            return self.decoder.loss(features, words, wanted)
        logits = self.range.logits(states)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), batch.wanted)
        rows, attributes = self.range.selected(logits, batch.wanted)
        if not len(rows):
            return loss
        guided = self.range.features(features[rows], attributes)
        own = of_attribute(wanted[rows], attributes)
        return loss + self.decoder.loss(guided, words[rows], own)

    def said(self, batch: Batch) -> list[Said]:
        """The likeliest tags; with a range, of each attribute that equation 7 selects."""
        states = self.encoded(batch)
        features, words = self._at_words(states, batch)
        if self.range is None:
            return [Said(tuple(tags.runs_of(best))) for best in self.decoder.best(features, words)]
        logits = self.range.logits(states)
        named = (torch.sigmoid(logits.float()) > self.range.threshold).tolist()
        runs: list[list[Run]] = [[] for _ in named]
        rows, attributes = self.range.selected(logits)
        if len(rows):
            guided = self.range.features(features[rows], attributes)
            for row, label, best in zip(
                rows.tolist(), attributes.tolist(), self.decoder.best(guided, words[rows]), strict=True
            ):
                runs[row] += [Run(label, run.first, run.last) for run in tags.runs_of(best)]
        return [
            Said(tuple(found), tuple(at for at, is_in in enumerate(one) if is_in))
            for found, one in zip(runs, named, strict=True)
        ]

    def _at_words(self, states: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """States [n, w, D] and mask [n, w] from the first word on: a CRF's sequences begin with one."""
        first = int(batch.words.any(0).int().argmax())
        return states[:, first:], batch.words[:, first:]


def of_attribute(found: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
    """Tags [p, t] as an attribute [p] of its own sees them: its B is 1, its I is 2, all else is "O"."""
    begins = found == tags.begin(0) + 2 * attributes[:, None]
    insides = found == tags.inside(0) + 2 * attributes[:, None]
    return begins.long() + 2 * insides.long()

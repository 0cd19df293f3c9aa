"""A trained tagger at work: texts and pictures in, values with their places out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ameli_llm.attributes.tagging import folder as folders
from ameli_llm.attributes.tagging.batches import Batches
from ameli_llm.attributes.tagging.examples import LabelledText
from ameli_llm.attributes.tagging.folder import Description
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.pictures import LoadRegions, Pictures, RegionNetwork
from ameli_llm.attributes.tagging.settings import TaggerSettings, made_of
from ameli_llm.attributes.tagging.tagger import Tagger
from ameli_llm.attributes.tagging.tags import Found, Said, placed
from ameli_llm.attributes.tagging.text_encoder import load_text
from ameli_llm.attributes.tagging.words import WordCutter, Words
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.training.loop import device

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

STEP = 32
"""Texts that are tagged at a time."""

CHUNK = 512
"""Texts whose pictures are held in memory, as maps of features."""


@dataclass(frozen=True)
class Trained:
    """A tagger with its cutter; ``description`` says what it was trained on."""

    tagger: Tagger
    cutter: WordCutter
    image: RegionNetwork | None
    description: Description

    @property
    def leaks_gold(self) -> bool:
        """Whether it needs gold to work: an upper bound."""
        return bool(self.description.settings.get("gold") == "attributes")

    def found(self, texts: Sequence[LabelledText]) -> list[Found]:
        """What it says of each text as far as its window goes, in order; labels are read by upper bounds."""
        words = self.cutter.cut([text.text for text in texts])
        labels = self.description.labels
        return [
            placed(one, cut.places, labels)
            for one, cut in zip(self.said(texts, words, self.pictures()), words, strict=True)
        ]

    def said(
        self, texts: Sequence[LabelledText], words: Sequence[Words], pictures: Pictures | None
    ) -> list[Said]:
        """What it says of texts that were cut before; one without a word has nothing.

        ``pictures`` opens them, and knows afterwards which could not be used.
        """
        return said_of(self.tagger, texts, words, self.description.labels, self.cutter.pad, pictures)

    def pictures(self) -> Pictures | None:
        """What opens pictures, None when it looks at none."""
        return Pictures(self.image.prepare) if self.image else None


def build(
    kind: Kind,
    settings: TaggerSettings,
    labels: Sequence[str],
    load_regions: LoadRegions,
    seed: int = 0,
) -> tuple[Tagger, WordCutter, RegionNetwork | None]:
    """An untrained tagger on the device, its weights drawn by the seed. Raises AmeliError."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text, cutter = load_text(settings.encoder, settings.max_tokens)
        image = load_regions(settings.image_encoder) if settings.has_image else None
        tagger = kind.build(settings, labels, text, image, cutter)
    return tagger.to(device()), cutter, image


def load_trained(kind: Kind, folder: Path, load_regions: LoadRegions) -> Trained:
    """The tagger that a training wrote to ``folder``.

    Raises AmeliError when there is none, its weights are damaged or of another size, or an encoder is another
    one than it was trained with.
    """
    described = folders.read(folder, kind)
    hint = f"Train it again: {kind.command}"
    settings = made_of(kind.settings, described.settings)
    tagger, cutter, image = build(kind, settings, described.labels, load_regions)
    pairs = [("text", described.encoder, described.encoder_revision, tagger.text.revision)]
    pairs += [("image", described.image_encoder, described.image_revision, image.revision)] if image else []
    for what, name, then, now in pairs:
        if then != now:
            raise AmeliError(
                f"{folder} was trained on the {what} encoder {name} of revision {then}; the one found now is "
                f"of revision {now}.",
                hint=hint,
            )
    _fill(tagger, folders.read_weights(folder, described, hint), folder / folders.WEIGHTS, hint)
    return Trained(tagger.eval(), cutter, image, described)


def kept(tagger: Tagger) -> Mapping[str, torch.Tensor]:
    """What is trained of a tagger, buffers beside it, by name: frozen encoders are not in it."""
    frozen = tuple(
        f"{name}."
        for name, is_frozen in (("text", tagger.frozen_text), ("image", tagger.frozen_image))
        if is_frozen
    )
    return {name: tensor for name, tensor in tagger.state_dict().items() if not name.startswith(frozen)}


def said_of(
    tagger: Tagger,
    texts: Sequence[LabelledText],
    words: Sequence[Words],
    labels: Sequence[str],
    pad: int,
    pictures: Pictures | None,
) -> list[Said]:
    """What the tagger says of each text; a picture that several of ``CHUNK`` texts have is looked at once."""
    said: list[Said] = []
    tagger.eval()
    with torch.inference_mode():
        for start in range(0, len(texts), CHUNK):
            part = slice(start, start + CHUNK)
            look = tagger.look if pictures else None
            made = Batches(
                texts[part], words[part], labels, pad=pad, device=tagger.device, pictures=pictures, look=look
            )
            said += said_in(tagger, made)
    return said


def said_in(tagger: Tagger, batches: Batches) -> list[Said]:
    """What the tagger, in evaluation mode, says of all texts, in order; one without a word has nothing."""
    said = [Said(())] * len(batches)
    for rows in batches.in_order(STEP):
        readable = [row for row in rows if batches.words[row].places]
        if readable:
            for row, one in zip(readable, tagger.said(batches.batch(readable)), strict=True):
                said[row] = one
    return said


def _fill(tagger: Tagger, content: bytes, path: Path, hint: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        found = load(content)
    except SafetensorError as error:
        raise AmeliError(f"{path} is not a safetensors file: {error}.", hint=hint) from error
    wanted = kept(tagger)
    for name in sorted({*found, *wanted}):
        there = list(found[name].shape) if name in found else "missing"
        here = list(wanted[name].shape) if name in wanted else "missing"
        if there != here:
            raise AmeliError(
                f"{path} is not of this model: {name} is {there} there and {here} here.", hint=hint
            )
    tagger.load_state_dict(dict(found), strict=False)

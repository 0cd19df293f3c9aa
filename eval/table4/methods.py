"""The retrieval methods of the paper's Table 4, and those of a fine-tuned text encoder: what each sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ameli_llm.config import RetrievalConfig
from retrieval.candidates import PRIOR, TEXT
from retrieval.index import Index
from retrieval.manifest import EncoderStamp

Pair: TypeAlias = tuple[str, str]
"""A text part and an image part that are summed."""

IMAGE = "image"
ADAPTED = "adapted image"
TUNED_TEXT = "tuned sbert"


@dataclass(frozen=True)
class Method:
    """A row of the table; ``key`` is that of the published figures (``eval.published``).

    ``missing`` says what has to be installed or trained before it can be run.
    """

    key: str
    name: str
    modality: str
    weights: Mapping[str, float] = field(default_factory=dict)
    filtered: bool = False
    missing: str = ""

    @property
    def pair(self) -> Pair | None:
        """The text and the image part of a fused row, None for a row of one part."""
        if len(self.weights) != 2:
            return None
        text, image = self.weights
        return text, image


@dataclass(frozen=True)
class Lacking:
    """Why a part cannot be run; "" for one that can. ``tuned_text`` None leaves its rows out."""

    text: str = ""
    image: str = ""
    adapted: str = ""
    tuned_text: str | None = None


def methods(config: RetrievalConfig, shown: EncoderStamp | None, lacking: Lacking) -> list[Method]:
    """The eight rows in the paper's order, named for the image encoder ``shown``; then those beyond it."""
    text = config.weights.get(TEXT, 1.0)
    image = config.by_retriever.get(shown.name, 1.0) if shown else 1.0
    plain, tuned = _image_rows(shown)
    both, adapted = {TEXT: text, IMAGE: image}, {TEXT: text, ADAPTED: image}
    either = lacking.text or lacking.image
    trained = lacking.text or lacking.adapted
    rows = [
        Method("prior", "P(e|m)", "-", {PRIOR: 1.0}),
        Method("sbert", "Pre-trained SBERT", "T", {TEXT: 1.0}, missing=lacking.text),
        Method("clip", plain, "V", {IMAGE: 1.0}, missing=lacking.image),
        Method("clip_sbert", f"{plain}/SBERT", "T+V", both, missing=either),
        Method("clip_sbert_prior", f"{plain}/SBERT + P(e|m)", "T+V", both, filtered=True, missing=either),
        Method("tuned_clip", tuned, "V", {ADAPTED: 1.0}, missing=lacking.adapted),
        Method("tuned_clip_sbert", f"{tuned} + SBERT", "T+V", adapted, missing=trained),
        Method(
            "tuned_clip_sbert_prior",
            f"{tuned} + SBERT + P(e|m)",
            "T+V",
            adapted,
            filtered=True,
            missing=trained,
        ),
    ]
    if lacking.tuned_text is None:
        return rows
    return [
        *rows,
        Method("tuned_sbert", "Fine-tuned SBERT", "T", {TUNED_TEXT: 1.0}, missing=lacking.tuned_text),
        Method(
            "tuned_clip_tuned_sbert",
            f"{tuned} + fine-tuned SBERT",
            "T+V",
            {TUNED_TEXT: text, ADAPTED: image},
            missing=lacking.tuned_text or lacking.adapted,
        ),
    ]


def _image_rows(stamp: EncoderStamp | None) -> tuple[str, str]:
    """Names of the image rows without and with a trained adapter; only CLIP is called CLIP."""
    if stamp is None or stamp.name == "clip":
        return "Pre-trained CLIP", "Fine-tuned CLIP"
    return f"Image {stamp.name}", f"Adapted image {stamp.name}"


def weights_of(method: Method, ratios: Mapping[Pair, float]) -> Mapping[str, float]:
    """Its weights by part, with the share of the text that ``ratios`` has for its pair, if any."""
    pair = method.pair
    return shares(pair, ratios[pair]) if pair and pair in ratios else method.weights


def shares(pair: Pair, ratio: float) -> dict[str, float]:
    """Weights by part: ``ratio`` for the text, the rest for the image."""
    return {pair[0]: ratio, pair[1]: 1 - ratio}


def image_lacks(index: Index) -> tuple[str, str]:
    """What the image rows lack apart from an adapter; "" for nothing."""
    if index.manifest.image() is None:
        need = "needs CLIP weights: set retrieval.image_encoders to [clip:MODEL]"
        return need, need
    if not index.manifest.images:
        return "needs product images", "needs product images"
    return "", ""

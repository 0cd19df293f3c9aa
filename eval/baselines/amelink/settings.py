"""What can be set about AMELINK: each difference between the paper and the official code is one setting."""

from __future__ import annotations

import string
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.files import first_error

Pairing: TypeAlias = Literal["joint", "siamese"]
Feature: TypeAlias = Literal["u", "v", "|u-v|", "u*v", "cos"]

MINILM = "minilm"
"""Short name of the packaged all-MiniLM-L6-v2."""

_FIELDS = {"key", "mention", "value"}


class AmelinkSettings(BaseModel):
    """How AMELINK is built and trained (paper, section 4.4). The defaults are the preset "paper".

    "Official" in a description is what the released code does (class AMELINLImage for text, V2VELCLIP for
    images, AMELIJoint to combine them), and the value of the preset of that name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Encoder
    encoder: str = Field(
        "microsoft/deberta-v3-base",
        min_length=1,
        description="Name or folder of the text encoder, or minilm, the packaged one. The paper cites "
        "DeBERTa V3; official cross-encoder/nli-deberta-base.",
    )
    pairing: Pairing = Field(
        "joint",
        description="joint: both texts in one sequence, as in the paper's equations and the official code. "
        "siamese: each text apart, the two vectors u and v combined (Reimers and Gurevych 2019, section 3), "
        "which is how a bi-encoder reads pairs.",
    )
    features: tuple[Feature, ...] = Field(
        ("u", "v", "|u-v|", "u*v"),
        min_length=1,
        description="What of u and v a siamese pair hands on; cos is their cosine. Unused in joint pairing.",
    )
    reading: Literal["whole", "clauses"] = Field(
        "whole",
        description="In siamese pairing, what u is: the whole review, or that clause of it which is most "
        "similar to v. One vector of a whole review hardly tells which of its many facts v is about; a joint "
        "encoder attends to the right words by itself.",
    )
    pooling: Literal["first", "pooler", "mean"] = Field(
        "first",
        description="What stands for a sequence: the state of the first token, that state through a trained "
        "layer (official: the checkpoint's pooler), or the mean of all states (sentence encoders).",
    )
    frozen: bool = Field(
        False,
        description="Whether the encoder keeps its weights. The paper does not say; official freezes all of "
        "it but the pooler.",
    )
    max_tokens: int = Field(512, ge=8, description="Longer sequences are cut, the longer text first.")
    literal_sep: bool = Field(
        False,
        description="Both texts as one string with the separator written out, so that all token types are 0 "
        "(official), instead of a pair.",
    )

    # Pairs
    attributes: int = Field(
        24,
        ge=0,
        le=64,
        description="Attribute slots of a candidate. The paper takes all attributes, of which a product has "
        "22.9 on average: 24 slots; official 5.",
    )
    order: Literal["extracted", "official"] = Field(
        "extracted",
        description="Which attributes fill the slots first, after the title where that is one. extracted: "
        "keys that the review states, then the product's order. official: Product Name and Brand "
        "before those.",
    )
    title: bool = Field(
        False,
        description="Whether the whole title counts as an attribute (official). Choosing among titles is "
        "linking itself; the paper names no such attribute.",
    )
    title_without_attribute: bool = Field(
        False,
        description='Whether "without attribute" keeps the title as its one attribute (official).',
    )
    description: bool = Field(True, description="Whether the description is paired with the review.")
    description_first: bool = Field(
        False, description="Whether the description stands before the review in its pair (official)."
    )
    statement: str = Field(
        "{key}: {value}",
        description="An attribute as a text. The paper's example is 'The color of this bag is pink'; without "
        "the mention equal values give equal texts, encoded once. Official '{key} of {mention} is {value}'.",
    )
    review_attributes: bool = Field(
        False, description="Whether the attributes that the review states stand in its text (official)."
    )
    stated: Literal["extracted", "gold"] = Field(
        "extracted",
        description="What text models read on train and dev as the attributes that a review states: those "
        "extracted from it or, a leak, up to ten of its gold product (official, GenGoldAttribute in "
        "attribute/fuse_attribute_for_disambiguation.py). The filter and a reported split always have the "
        "extracted ones.",
    )
    padding: Literal["zeros", "first"] = Field(
        "zeros",
        description="What fills slots that a product has no attribute for: zeros, or its first value again "
        "under the slot's number as key (official).",
    )

    # Head
    layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (768,), description="Hidden widths of the MLP. The paper gives none; official 2048, 768, 2048."
    )
    dropout: float = Field(
        0.1, ge=0.0, lt=1.0, description="Before the first two layers of the MLP; official 0.5."
    )
    norm: bool = Field(True, description="Layer normalisation of the concatenation (official).")

    # Training
    candidates: int = Field(10, ge=2, description="K: gold and the K - 1 best others in training.")
    epochs: int = Field(10, ge=0, description="Epochs at most (official 10).")
    batch_size: int = Field(16, ge=1, description="Reviews a step (official 16).")
    micro_batch: int = Field(0, ge=0, description="Reviews at a time on the device; 0: the whole step's.")
    learning_rate: float = Field(1e-5, ge=0.0, description="Official 1e-5, its README 1e-3.")
    weight_decay: float = Field(0.0, ge=0.0, description="Official 0, which is Adam.")
    warmup: float = Field(0.1, ge=0.0, le=1.0, description="Share of the steps (official 0.1).")
    clip: float = Field(1.0, ge=0.0, description="Greatest norm of the gradient (official 1).")
    patience: int = Field(10, ge=1, description="Epochs without a better F1 on dev (official 10).")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: mixed on a GPU.")

    # Image
    adapter: Literal["paper", "official"] = Field(
        "paper",
        description="paper: weights of its own for each side, x + ReLU(x W1) W2. official: one shared, "
        "0.8 x + 0.2 ReLU(ReLU(x W1) W2).",
    )
    images: Literal["first", "all", "selected"] = Field(
        "first",
        description="first: the first image of each side (paper). all: the best pair of all. selected: one "
        "pair, chosen by the unadapted cosine: the review image that is most similar to an image of a "
        "candidate, and of each candidate the image most similar to that one (official, "
        "disambiguation/utils/image_selection.py).",
    )
    gold_image: bool = Field(
        False,
        description="Whether on train and dev the gold product instead of the candidates selects the review "
        "image: a leak (official, same file). On a split that is reported it is always the candidates.",
    )
    adapter_epochs: int = Field(30, ge=0, description="Epochs of the adapter at most.")
    adapter_learning_rate: float = Field(1e-3, ge=0.0, description="Adam's learning rate of the adapter.")
    adapter_batch_size: int = Field(64, ge=2, description="Pairs a batch: each other's negatives.")
    adapter_temperature: float = Field(
        0.07,
        gt=0.0,
        description="Divides the cosines in the adapter's loss. The paper's loss and the official code have "
        "none, which is 1; 0.07 was chosen on dev of the twin.",
    )
    adapter_negatives: Literal["batch", "candidates"] = Field(
        "batch",
        description="What the adapter tells an image from: the other products of the batch, or also the "
        "candidates of its reviews (official).",
    )

    # Answer
    combination: Literal["lambda", "three_way"] = Field(
        "lambda",
        description="lambda: l * text + (1 - l) * image, l on 0 .. 1 (paper). three_way: a * retrieval + b * "
        "sigmoid(text) + (1 - a - b) * image, a and b on .1 .. .8 (official, for the later figures).",
    )
    scale: Literal["raw", "spread", "softmax"] = Field(
        "spread",
        description="Before the sum: scores as they are; divided by their mean spread within a list on dev, "
        "which leaves the paper's equation as it is and only makes the grid of l fine enough where the two "
        "differ in size; or softmax over the candidates (official).",
    )
    grid: float = Field(0.1, gt=0.0, le=0.5, description="Step of the weights tried on dev.")
    missing: Literal["mean", "minus_one"] = Field(
        "mean", description="What a missing score counts as: the mean of the list's others, or -1 (official)."
    )
    mismatch: Literal["normalised", "literal", "off"] = Field(
        "normalised",
        description="The attribute-mismatch filter: values equal in their normalised forms, or as strings in "
        "any case (official).",
    )

    @property
    def needs_candidates(self) -> bool:
        """Always: it learns to tell a product from the others of its list."""
        return True

    @field_validator("statement")
    @classmethod
    def _known_fields(cls, statement: str) -> str:
        found = {name for _, name, _, _ in string.Formatter().parse(statement) if name is not None}
        if not found <= _FIELDS or "value" not in found:
            raise ValueError("a statement has {value} and of other fields only {key} and {mention}")
        return statement

    @field_validator("gold_image")
    @classmethod
    def _selects(cls, gold_image: bool, info: ValidationInfo) -> bool:
        images = info.data.get("images", "selected")
        if gold_image and images != "selected":
            raise ValueError(f"it says by what images are selected, but images is {images}, not selected")
        return gold_image


_OFFICIAL: Mapping[str, Any] = MappingProxyType(
    {
        "encoder": "cross-encoder/nli-deberta-base",
        "pooling": "pooler",
        "frozen": True,
        "literal_sep": True,
        "attributes": 5,
        "order": "official",
        "title": True,
        "title_without_attribute": True,
        "description_first": True,
        "statement": "{key} of {mention} is {value}",
        "review_attributes": True,
        "stated": "gold",
        "padding": "first",
        "layers": (2048, 768, 2048),
        "dropout": 0.5,
        "adapter": "official",
        "images": "selected",
        "gold_image": True,
        "adapter_temperature": 1.0,
        "adapter_negatives": "candidates",
        "combination": "three_way",
        "scale": "softmax",
        "missing": "minus_one",
        "mismatch": "literal",
    }
)

PRESETS: Mapping[str, AmelinkSettings] = MappingProxyType(
    {"paper": AmelinkSettings(), "official": AmelinkSettings.model_validate(_OFFICIAL)}
)

SIAMESE: Mapping[str, Any] = MappingProxyType(
    {
        "encoder": MINILM,
        "pairing": "siamese",
        "features": ("cos",),
        "reading": "clauses",
        "pooling": "mean",
        "frozen": True,
        "max_tokens": 256,
        "review_attributes": True,
        "layers": (256,),
        "dropout": 0.0,
        "norm": False,
        "epochs": 15,
        "batch_size": 32,
        "learning_rate": 3e-3,
    }
)
"""What the packaged sentence encoder changes in every preset; the values were chosen on dev of the twin.

Vectors of whole reviews, or u*v and |u-v| instead of the cosine, learn the products of the training split by
heart and are at chance on products that it has not seen. Layer normalisation takes away how great the cosines
of a candidate are as a whole.
"""


def settings_for(preset: str, encoder: str = "", changes: Mapping[str, Any] | None = None) -> AmelinkSettings:
    """The settings of a preset with another encoder ("" keeps the preset's) and further ``changes``.

    The packaged MiniLM is a bi-encoder and brings its own settings (``SIAMESE``). Raises UnknownNameError for
    an unknown preset, AmeliError for a setting that is unknown or out of range.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    content = PRESETS[preset].model_dump()
    if encoder:
        content |= SIAMESE if encoder == MINILM else {"encoder": encoder}
    return parsed(content | dict(changes or {}))


def parsed(content: Mapping[str, Any]) -> AmelinkSettings:
    """Settings from JSON types. Raises AmeliError that names the first wrong one."""
    try:
        return AmelinkSettings.model_validate(content)
    except ValidationError as error:
        raise AmeliError(f"AMELINK's setting {first_error(error)}.") from error

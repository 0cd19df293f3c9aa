"""What can be set about every trained extractor; each has further settings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.files import first_error

MINILM = "minilm"
"""Short name of the packaged all-MiniLM-L6-v2, read as a BERT."""

BILSTM = "bilstm"
"""A bidirectional LSTM over learned embeddings, on the tokenizer of MINILM; nothing in it is pretrained."""

LITE2 = "efficientnet-lite2"
"""The packaged image network."""

NO_IMAGE = "none"

Settings = TypeVar("Settings", bound="TaggerSettings")


class TaggerSettings(BaseModel):
    """How a tagger reads texts and pictures, and how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    encoder: str = Field(
        MINILM,
        min_length=1,
        description="Text encoder: minilm (packaged), a folder, or a name where a hub can be reached.",
    )
    image_encoder: str = Field(
        LITE2,
        description="Image encoder: efficientnet-lite2 (packaged), a ResNet as retrieval.image_encoders "
        "names it after resnet:, or none.",
    )
    max_tokens: int = Field(
        46, ge=1, le=510, description="Tokens of a text; what is beyond is cut in training."
    )
    fewest: int = Field(
        1, ge=1, description="Attributes of which fewer training texts state a value are not learned."
    )
    epochs: int = Field(50, ge=1, description="Epochs at most; training stops early on dev.")
    patience: int = Field(10, ge=1, description="Epochs without a better TAG-F1 on dev that are waited for.")
    batch_size: int = Field(128, ge=1, description="Texts in an optimizer step.")
    micro_batch: int = Field(0, ge=0, description="Texts on the device at a time; 0: the whole step's.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Numbers in training; auto: mixed on a GPU, fp32 on the CPU."
    )

    @property
    def has_image(self) -> bool:
        """Whether pictures are read."""
        return self.image_encoder != NO_IMAGE


def made_of(kind: type[Settings], changes: Mapping[str, Any]) -> Settings:
    """The settings with these changes. Raises AmeliError that names a wrong one."""
    unknown = sorted(changes.keys() - kind.model_fields.keys())
    if unknown:
        raise UnknownNameError("setting", unknown[0], kind.model_fields)
    try:
        return kind.model_validate(dict(changes))
    except ValidationError as error:
        raise AmeliError(f"{first_error(error)}.", hint="docs/extractors.md lists every setting.") from error

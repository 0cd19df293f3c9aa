"""What can be set about ULS-DRAM: each row of the paper's ablations is a setting or two."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ameli_llm.attributes.tagging.settings import BILSTM, TaggerSettings

RANGES = {"prototype": "PAR", "dynet": "DyN-AR", "bert": "BERT-AR"}
FUSIONS = {"vanilla": "ULS-VL", "self_attention": "ULS-VL + Self-Attn", "tir": "ULS-VL + TIR"}


class UlsDramSettings(TaggerSettings):
    """How ULS-DRAM is built and trained (Liu et al., section 3); the defaults are those of section 4.2.

    ULS-L, the model without pictures, is ``image_encoder: none``. All encoders are fine-tuned with the rest.
    """

    fusion: Literal["vanilla", "self_attention", "tir"] = Field(
        "tir",
        description="How words and regions meet before the text encoder. vanilla: one sequence after the "
        "other. self_attention: that through one more layer of attention. tir: equations 3 to 5.",
    )
    attributes: Literal["all", "prototype", "dynet", "bert"] = Field(
        "prototype",
        description="Which attributes are decoded. all: every one, in one pass. The others: those that "
        "equation 7 selects, a pass each, guided by a learned prototype, by layers of the attribute's own, "
        "or by the attribute's name as the untrained encoder reads it.",
    )
    threshold: float = Field(
        0.5, ge=0, le=1, description="S_thr of equation 7; the paper has 0.5 for MEPAVE and 0.4 for MAE."
    )
    most: int = Field(
        32, ge=1, description="Attributes of a text that are decoded at most, the likeliest first."
    )
    attention: int = Field(
        0, ge=0, description="ULS-DRAM: the same, D' of equations 1 to 5; 0: the text encoder's width."
    )
    softmax: bool = Field(
        False, description="Whether attention is normalised by a softmax, which equations 2 to 4 do not have."
    )
    lstm: int = Field(
        0, ge=0, description="Size of the decoder's states, both directions; 0: the text encoder's width."
    )
    dynet: int = Field(64, ge=1, description="Size of what an attribute's own layers hand to the decoder.")
    batch_size: int = Field(70, ge=1, description="Texts in an optimizer step.")
    image_share: float = Field(
        0.5, gt=0, description="The image network's learning rate, as a part of the others'."
    )

    @model_validator(mode="after")
    def _consistent(self) -> UlsDramSettings:
        if self.encoder == BILSTM:
            raise ValueError(f"encoder {BILSTM}: words and regions are read by a pretrained encoder")
        if self.lstm % 2:
            raise ValueError("lstm has to be even: half of it for each direction")
        return self

    @property
    def title(self) -> str:
        """What the paper calls it."""
        name = FUSIONS[self.fusion] if self.has_image else "ULS-L"
        if self.has_image and (self.fusion, self.attributes) == ("tir", "prototype"):
            return "ULS-DRAM"
        return name if self.attributes == "all" else f"{name} + {RANGES[self.attributes]}"

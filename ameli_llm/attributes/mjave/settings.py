"""What can be set about M-JAVE: each ablation of the paper is one setting."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from ameli_llm.attributes.tagging.settings import NO_IMAGE, TaggerSettings

Part: TypeAlias = Literal[
    "multitask",
    "attributes",
    "kl",
    "global_attention",
    "regional_attention",
    "global_gate",
    "regional_gate",
]


class MjaveSettings(TaggerSettings):
    """How M-JAVE is built and trained (Zhu et al. 2020, papers' section 2); the defaults are its table 2.

    JAVE, the model without pictures, is ``image_encoder: none``.
    """

    frozen: bool = Field(
        True,
        description="Whether the encoders keep their weights, as in the paper's own results (Liu et al., "
        "section 2.2). False fine-tunes both with the rest: M-JAVE under ULS-VL in their table 1.",
    )
    attention: int = Field(
        200, ge=1, description="M-JAVE: size of the attention's vectors (d of equation 1)."
    )
    kl: float = Field(0.5, ge=0, description="Lambda of equation 14.")
    without: tuple[Part, ...] = Field(
        (),
        description="Ablations of tables 5 and 6. multitask: each task with layers of its own, nothing "
        "between them. attributes: no W8 in equation 9. kl: lambda is 0. global_attention: no visual term "
        "in equation 5, and regional_attention in 9. global_gate: the gate of equation 6 is 1, and "
        "regional_gate that of 10.",
    )
    gold: Literal["", "attributes", "values"] = Field(
        "",
        description="Upper bounds of table 5, a leak. attributes: the right attributes stand for the "
        "predicted ones in equations 9, 10 and 13, in testing too. values: the right tags in equation 12.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> MjaveSettings:
        visual = {"global_attention", "regional_attention", "global_gate", "regional_gate"}
        if self.image_encoder == NO_IMAGE and (named := sorted(visual & set(self.without))):
            raise ValueError(f"without {named[0]}: there is no picture, since image_encoder is none")
        if self.gold and "multitask" in self.without:
            raise ValueError(f"gold {self.gold} leads from one task to the other, and without multitask not")
        return self

    @property
    def title(self) -> str:
        """What papers call it, ablations included."""
        name = "M-JAVE" if self.has_image else "JAVE"
        parts = [f"w/o {part}" for part in self.without]
        parts += [f"upper bound, gold {self.gold}"] if self.gold else []
        parts += [] if self.frozen else ["fine-tuned"]
        return ", ".join([name, *parts])

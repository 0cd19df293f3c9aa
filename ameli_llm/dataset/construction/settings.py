"""The settings of a build: one YAML file, or KEY=VALUE words; unknown keys are refused with their name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ameli_llm.dataset.construction.rules import default_rules, resolved_rules
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error, read_bounded

MAX_BYTES = 1 << 20
"""Longest file of settings that is read."""

OFF = "none"
"""The model of a similarity that is not used."""

Feature = Literal["attributes", "image", "description", "title"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Models(_Section):
    """What texts and images are compared with; "none" leaves a comparison out."""

    text: str = Field("sbert", description="text encoder, NAME or NAME:MODEL; none")
    image: str = Field("", description="image encoder, NAME or NAME:MODEL; empty: the best installed; none")
    cross_encoder: str = Field("", description="cross-encoder for mentions and titles; empty: none")


class Columns(_Section):
    """Columns of reviews that no dataset has; empty: found by their names."""

    helpful: str = ""
    unhelpful: str = ""
    details: str = ""


class Mentions(_Section):
    """Mention detection (paper, section 3.3)."""

    longest: int = Field(6, ge=1, le=12, description="words of the longest n-gram that is looked up")
    choose: Literal["similarity", "longest"] = Field(
        "similarity", description="the mention most similar to the title (paper), or the longest (no model)"
    )
    without_gold: bool = Field(True, description="find mentions without the product too, and compare")


class Informative(_Section):
    """The filter of uninformative reviews (paper, section 3.4)."""

    model: Literal["threshold", "logistic"] = "threshold"
    thresholds: dict[Feature, float] = Field(
        default_factory=dict, description="used where no labels are given"
    )
    precision: float = Field(0.85, gt=0, le=1, description="least precision on the labels (released scripts)")
    folds: int = Field(5, ge=2, le=20, description="folds in which a trained filter is measured")


class Split(_Section):
    """The split (paper, section 3.5)."""

    ratios: tuple[int, int, int] = (75, 10, 15)
    near_text: float = Field(0.8, gt=0, le=1, description="Jaccard similarity of near-duplicate texts")
    shingle: int = Field(3, ge=1, le=10, description="words of a shingle")
    fewest_words: int = Field(12, ge=1, description="shorter texts are alike by chance: no duplicates")
    near_image: int = Field(3, ge=0, le=3, description="bits of 64 in which near-duplicate photos differ")

    @model_validator(mode="after")
    def _some(self) -> Split:
        if min(self.ratios) < 0 or not sum(self.ratios):
            raise ValueError("ratios are those of train, dev and test, for instance [75, 10, 15]")
        return self


class BuildSettings(_Section):
    """Everything that decides what a build makes of its sources."""

    rules: dict[str, Any] = Field(default_factory=default_rules, description="a section a rule; false: off")
    models: Models = Models()
    columns: Columns = Columns()
    mentions: Mentions = Mentions()
    informative: Informative = Informative()
    split: Split = Split()
    licence: str = Field("", max_length=2000, description="licence of the sources, as they state it")
    batch: int = Field(1000, ge=1, le=100_000, description="reviews that are held at a time")
    seed: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _all_rules(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("rules"), dict):
            return value | {"rules": resolved_rules(value["rules"])}
        return value


def read_settings(path: Path | None, words: Sequence[str] = (), without: Sequence[str] = ()) -> BuildSettings:
    """The settings of a YAML file with ``words`` (dotted KEY=VALUE, values in YAML) on top.

    ``without`` names rules to switch off. Raises AmeliError that names the first wrong setting.
    """
    content = _content(path)
    for rule in without:
        content = _put(content, ["rules", rule], False)
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not all(name.split(".")):
            hint = "Write KEY=VALUE, for instance rules.length.most_tokens=512."
            raise AmeliError(f"No setting {word[:80]!r}.", hint=hint)
        content = _put(content, name.split("."), _yaml(value, f"Setting {name[:80]!r}"))
    try:
        return BuildSettings.model_validate(content)
    except ValidationError as error:
        hint = "docs/datasets.md lists the settings of a build."
        said = first_error(error).replace("Value error, ", "").removesuffix(".")
        raise AmeliError(f"Settings of the build: {said}.", hint=hint) from None


def _content(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    content = _yaml(read_bounded(path, MAX_BYTES), str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise AmeliError(f"{path} holds no settings: KEY: VALUE lines are expected.")
    return content


def _yaml(text: str | bytes, what: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise AmeliError(f"{what} is not YAML: {' '.join(str(error).split())[:200]}.") from None


def _put(content: dict[str, Any], names: list[str], value: Any) -> dict[str, Any]:
    """The content with one value replaced; what is no section on the way becomes one."""
    first, *rest = names
    if not rest:
        return content | {first: value}
    below = content.get(first)
    return content | {first: _put(below if isinstance(below, dict) else {}, rest, value)}

"""The edge of the AMELI format: one JSON record in, one frozen ``Product`` or ``Review`` out.

Fields and nulls are those of the AMELI release (docs/datasets.md). Fields that the pipeline does not use are
neither read nor checked, and extra fields are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ameli_llm import ids
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Product, Review, SpecRow

_EXPECTED = {
    "string_type": "a string",
    "list_type": "a list",
    "model_type": "an object",
    "dict_type": "an object",
    "id": ids.EXPECTED,
}
_NAMES = {"str": "a string", "dict": "an object", "list": "a list", "NoneType": "null"}
_CATEGORY_SEPARATOR = " -> "

ModelT = TypeVar("ModelT", bound=BaseModel)


class RecordError(ValueError):
    """A record breaks the format: ``field`` is its path ("Spec[0].text[1].value"), "" for all of it."""

    def __init__(self, field: str, found: str) -> None:
        super().__init__(f"field {field} {found}" if field else found)


def _id(value: object) -> EntityId | ReviewId:
    try:
        return ids.as_id(value)
    except ValueError:
        raise PydanticCustomError("id", "no id") from None


Id = Annotated[EntityId, BeforeValidator(_id)]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _PageRecord(_Record):
    """A part of a product page: its texts are stripped."""

    model_config = ConfigDict(strict=True, extra="ignore", str_strip_whitespace=True)


class SpecRowRecord(_PageRecord):
    """A line of a specification table."""

    specification: str | None
    value: str | None


class SpecSectionRecord(_PageRecord):
    """A part of a product page's specification table."""

    subsection: str | None = None
    text: list[SpecRowRecord] | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        """Another shop's layout, whose values would all be lost without a word."""
        if isinstance(value, Mapping) and value and not {"subsection", "text"} & value.keys():
            raise PydanticCustomError("section", 'has neither "subsection" nor "text"')
        return value


class FeatureRecord(_PageRecord):
    """A selling point of a product page."""

    header: str | None = None
    description: str | None = None

    def text(self) -> str:
        """Both parts in one line, "" when both are empty."""
        return ": ".join(part for part in (self.header, self.description) if part)


class OverviewRecord(_PageRecord):
    """The prose of a product page."""

    description: str | None = None
    features: list[FeatureRecord] | None = None


class ProductRecord(_Record):
    """A product as AMELI stores it."""

    id: Id
    product_name: str
    product_category: str | None
    overview_section: OverviewRecord | None = None
    spec: Annotated[list[SpecSectionRecord] | None, Field(alias="Spec")] = None
    image_path: list[str] | None = None

    def product(self) -> Product:
        """The domain value; empty lines of the specification are left out."""
        overview = self.overview_section or OverviewRecord()
        return Product(
            id=self.id,
            name=self.product_name.strip(),
            category=category_path(self.product_category or ""),
            description=overview.description or "",
            features=tuple(part.text() for part in overview.features or () if part.text()),
            spec=tuple(
                SpecRow(section.subsection or "", row.specification, row.value)
                for section in self.spec or ()
                for row in section.text or ()
                if row.specification and row.value
            ),
            images=tuple(self.image_path or ()),
        )


def category_path(text: str) -> tuple[str, ...]:
    """The parts of "Kitchen -> Blenders", from the shop's root to the leaf; blank ones are left out."""
    return tuple(part.strip() for part in text.split(_CATEGORY_SEPARATOR) if part.strip())


class GoldRecord(_Record):
    """The product a review belongs to; ``id`` null: it is not in the KB."""

    id: Id | None
    product_name: str | None = None


class ReviewRecord(_Record):
    """A review as AMELI stores it."""

    model_config = ConfigDict(strict=True, extra="allow")

    review_id: Id
    header: str | None
    body: str | None
    mention: str | None
    review_image_path: list[str] | None = None
    review_image_path_before_select: list[str] | None = None
    gold_entity_info: GoldRecord | None = None

    def review(self) -> Review:
        """The domain value, without gold; every extra field that is ``true`` becomes a slice.

        Where a stage of the release chose one image by the gold product, all images of before that count.
        """
        extra = self.model_extra or {}
        return Review(
            id=self.review_id,
            header=self.header or "",
            body=self.body or "",
            mention=(self.mention or "").strip(),
            images=tuple(self.review_image_path_before_select or self.review_image_path or ()),
            slices=tuple(sorted(name for name, value in extra.items() if value is True)),
        )


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A JSON value free of characters that no text can hold, and how many were removed."""

    value: Any
    removed: int


_UNCLEAN = re.compile("[\x00\ud800-\udfff]")


def clean(value: Any) -> Cleaned:
    """Removes NUL and lone surrogates from every string of a JSON value, keys included."""
    if isinstance(value, str):
        text, removed = _UNCLEAN.subn("", value)
        return Cleaned(text, removed)
    if isinstance(value, list):
        items = [clean(item) for item in value]
        return Cleaned([item.value for item in items], sum(item.removed for item in items))
    if isinstance(value, Mapping):
        pairs = [(clean(key), clean(item)) for key, item in value.items()]
        total = sum(key.removed + item.removed for key, item in pairs)
        return Cleaned({key.value: item.value for key, item in pairs}, total)
    return Cleaned(value, 0)


def parse(model: type[ModelT], record: object) -> ModelT:
    """Validates one record. Raises RecordError on its first wrong field."""
    try:
        return model.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecordError(_path(first["loc"]), _complaint(first)) from None


def _path(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _complaint(error: ErrorDetails) -> str:
    kind = error["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not known"
    if kind not in _EXPECTED:
        return error["msg"]
    return f"must be {_EXPECTED[kind]}, found {describe(error['input'])}"


def describe(value: object) -> str:
    """What a JSON value is, short enough for one line: its kind, or the number or short string itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)[:24]
    if isinstance(value, str) and len(value) <= 24:
        return repr(value)
    return _NAMES.get(type(value).__name__, type(value).__name__)

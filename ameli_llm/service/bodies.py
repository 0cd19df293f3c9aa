"""What goes over the wire: reviews and products in, links and products out, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict

from ameli_llm.dataset.records import Id
from ameli_llm.dataset.specs import SECTION, spec_rows
from ameli_llm.runs import PredictionRow
from ameli_llm.service.problems import ProblemBody
from ameli_llm.types import Product, SpecRow

ShortText = Annotated[str, StringConstraints(max_length=10_000)]
LongText = Annotated[str, StringConstraints(max_length=100_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
GivenId = Annotated[
    Id, WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 1}], "title": "Id"})
]

_EXAMPLE_REVIEW: JsonDict = {
    "id": 77,
    "header": "Great",
    "body": "Love my red one with its 500 watts",
    "mention": "blender",
    "images": [{"path": "77/front.png"}],
}
_EXAMPLE_PRODUCT: JsonDict = {
    "name": "Acme Breeze blender",
    "category": ["Kitchen", "Blenders"],
    "attributes": {"Color": "Red", "Power": "500 W"},
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ImageBody(_Body):
    """One photo: exactly one of the keys. It is never fetched from an address."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    path: Annotated[Name | None, Field(description="below the folder that the service was given")] = None
    base64: Annotated[str | None, Field(description="the file's bytes", min_length=1)] = None
    upload: Annotated[Name | None, Field(description="name of a part of the same multipart body")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.path, self.base64, self.upload)) != 1:
            raise ValueError("needs exactly one of path, base64 and upload")
        return self


class ReviewBody(_Body):
    """A review; every key is optional. Without an id it has its position, from 1."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_REVIEW]})

    id: GivenId | None = None
    review_id: Annotated[GivenId | None, Field(description="the id, where there is no id")] = None
    header: ShortText | None = None
    body: LongText | None = None
    mention: ShortText | None = Field(None, description="what the review calls the product")
    images: list[ImageBody] = []

    def own_id(self, default: Id) -> Id:
        """The id that it came with, under either name."""
        return next((one for one in (self.id, self.review_id) if one is not None), default)


class AttributeBody(_Body):
    """A line of a product page's specification table."""

    section: ShortText = SECTION
    key: Name
    value: ShortText


_Value = ShortText | int | float | StrictBool | None
_Pairs = dict[Name, _Value | list[_Value]]


class ProductBody(_Body):
    """A product; ``id`` may be left out where the path has it, and is a number only where it says so."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_PRODUCT]})

    id: GivenId | None = None
    name: Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)]
    category: Annotated[
        list[ShortText], Field(max_length=100, description="from the shop's root to the leaf")
    ] = []
    description: LongText = ""
    features: Annotated[list[ShortText], Field(max_length=1000)] = []
    attributes: Annotated[_Pairs | list[AttributeBody], Field(max_length=1000)] = []
    images: Annotated[
        list[Name], Field(max_length=1000, description="file names in the dataset's product_images/")
    ] = []

    def product(self, id_: int | str) -> Product:
        """The domain value."""
        return Product(
            id=id_,
            name=self.name,
            category=_told(self.category),
            description=self.description.strip(),
            features=_told(self.features),
            spec=self._spec(),
            images=tuple(self.images),
        )

    def _spec(self) -> tuple[SpecRow, ...]:
        if isinstance(self.attributes, dict):
            return spec_rows(self.attributes)
        return tuple(SpecRow(row.section, row.key, row.value.strip()) for row in self.attributes)


class ProductAnswer(BaseModel):
    """A product of the knowledge base, and the version that it stands in."""

    model_config = ConfigDict(extra="forbid")

    id: int | str
    name: str
    category: list[str]
    description: str
    features: list[str]
    attributes: list[dict[str, str]] = Field(description="section, key and value of each line")
    images: list[str]
    kb_version: str

    @classmethod
    def of(cls, product: Product, kb_version: str) -> ProductAnswer:
        """The answer for a product."""
        return cls(**product_fields(product) | {"kb_version": kb_version})


class ChangeAnswer(BaseModel):
    """A product that was put or deleted; every link that is asked for from now on sees it so."""

    model_config = ConfigDict(extra="forbid")

    id: int | str
    kb_version: str = Field(examples=["5e1fd2b0c4a87d36"])
    kept: bool = Field(description="whether it survives a restart of the service")


class LinkAnswer(PredictionRow):
    """A link with the keys of predictions.jsonl, and the version of the knowledge base that it is made in."""

    kb_version: str


class FailedAnswer(BaseModel):
    """A review of several that could not be linked."""

    model_config = ConfigDict(extra="forbid")

    review_id: int | str
    problem: ProblemBody


class HealthAnswer(BaseModel):
    """The state of the service."""

    model_config = ConfigDict(extra="forbid")

    status: str
    kb_version: str
    products: int


def _told(texts: list[str]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text.strip())


def product_fields(product: Product) -> dict[str, Any]:
    """The keys and values of the body that makes this product."""
    return {
        "id": product.id,
        "name": product.name,
        "category": list(product.category),
        "description": product.description,
        "features": list(product.features),
        "attributes": [{"section": row.section, "key": row.key, "value": row.value} for row in product.spec],
        "images": list(product.images),
    }

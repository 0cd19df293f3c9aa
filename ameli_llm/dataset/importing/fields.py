"""The fields of products and reviews that a column can become, and the names that such columns have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["products", "reviews"]

IGNORE = "ignore"
ATTRIBUTE = "attribute"


@dataclass(frozen=True)
class Field:
    """What a column can become. ``many`` columns may, or only one. ``names``: the likeliest first."""

    name: str
    names: tuple[str, ...] = ()
    many: bool = False


def _fields(*fields: Field) -> Mapping[str, Field]:
    return {field.name: field for field in fields}


PRODUCT_FIELDS = _fields(
    Field(
        "id",
        (
            *("id", "product id", "item id", "entity id", "sku", "asin", "parent asin", "pid", "uid", "upc"),
            *("gtin", "ean", "product code", "item number", "article number", "code", "handle"),
        ),
    ),
    Field(
        "name",
        ("product name", "product title", "item name", "item title", "name", "title", "model name"),
    ),
    Field(
        "category",
        (
            *("product category", "category path", "categories", "category", "category name", "breadcrumbs"),
            *(
                "breadcrumb",
                "taxonomy",
                "google product category",
                "product type",
                "department",
                "category tree",
            ),
        ),
        many=True,
    ),
    Field(
        "description",
        (
            *(
                "product description",
                "long description",
                "description",
                "desc",
                "body html",
                "about",
                "overview",
            ),
            *("short description", "summary"),
        ),
    ),
    Field(
        "features",
        ("features", "feature", "bullets", "bullet points", "highlights", "about product", "feature bullets"),
        many=True,
    ),
    Field(
        "attributes",
        (
            *("attributes", "specifications", "specification", "specs", "spec", "product specifications"),
            *("technical details", "product details", "details", "properties", "product attributes"),
        ),
        many=True,
    ),
    Field(
        "images",
        (
            *(
                "images",
                "image",
                "image path",
                "image paths",
                "product image",
                "product images",
                "image file",
            ),
            *("image files", "image name", "picture", "pictures", "photo", "photos", "img", "image src"),
        ),
        many=True,
    ),
    Field(ATTRIBUTE, many=True),
    Field(IGNORE, many=True),
)

REVIEW_FIELDS = _fields(
    Field("id", ("review id", "id", "uuid", "comment id", "rid")),
    Field(
        "body",
        (
            *(
                "review text",
                "review body",
                "body",
                "review",
                "text",
                "reviewtext",
                "review content",
                "content",
            ),
            *("comment", "review comment", "comments", "message", "review description"),
        ),
    ),
    Field(
        "header",
        (
            "review title",
            "review header",
            "review heading",
            "header",
            "headline",
            "summary",
            "title",
            "subject",
        ),
    ),
    Field("mention", ("mention", "product mention", "entity mention", "surface form")),
    Field(
        "gold",
        (
            *(
                "gold",
                "gold id",
                "gold entity id",
                "gold product id",
                "product id",
                "item id",
                "entity id",
                "sku",
            ),
            *("asin", "parent asin", "pid", "product", "product code", "upc", "label"),
        ),
    ),
    Field("gold_name", ("product name", "product title", "gold name", "item name", "item title")),
    Field(
        "images",
        (
            *("images", "image", "image path", "image paths", "review image", "review images", "image file"),
            *("image files", "picture", "pictures", "photo", "photos", "img"),
        ),
        many=True,
    ),
    Field("split", ("split", "set", "fold", "partition", "subset", "data split")),
    Field("slice", many=True),
    Field(IGNORE, many=True),
)

FIELDS: Mapping[Kind, Mapping[str, Field]] = {"products": PRODUCT_FIELDS, "reviews": REVIEW_FIELDS}
REQUIRED: Mapping[Kind, tuple[str, ...]] = {"products": ("id", "name"), "reviews": ("body",)}
"""Fields without which nothing can be made; a review without header, mention or gold can."""


def plain(name: str) -> str:
    """A column's name as ``Field.names`` writes it: "reviewText" and "Review_Text 1" are "review text"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W\d_]+", words.lower()))

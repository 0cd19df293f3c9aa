"""Products and reviews that a program hands over, as domain objects or dictionaries: no folder is needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ameli_llm.dataset.content import products_digest
from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.image_files import OwnImages, is_image_name
from ameli_llm.dataset.images import probe_image
from ameli_llm.dataset.records import (
    Id,
    ModelT,
    ProductRecord,
    RecordError,
    ReviewRecord,
    category_path,
    clean,
    parse,
)
from ameli_llm.dataset.specs import spec_rows
from ameli_llm.errors import AmeliError
from ameli_llm.ids import ReviewId, as_id
from ameli_llm.types import Product, Review, SpecRow

AnyPath = str | os.PathLike[str]


def make_dataset(
    products: Iterable[Product | Mapping[str, Any]], *, images: AnyPath = ".", name: str | None = None
) -> Dataset:
    """A dataset of products alone, each as ``read_product`` takes it: no folder and no splits.

    Image names are paths, relative to the folder ``images``; those without a file are left out. Datasets of
    one ``name`` and one ``images`` are states of the same dataset: they share an index, in which only what
    changed is embedded anew. Without a name, every other content is another dataset. Raises AmeliError, which
    names the position from 1, on a wrong product and on two products with ids of the same text.
    """
    read = [read_product(product, f"product {number}") for number, product in enumerate(products, start=1)]
    base = Path(images).absolute()
    content = "" if name else products_digest({product.id: product for product in read})
    return Dataset(None, read, name=name, place=f"{base} {content}", images=OwnImages(base))


def read_product(record: Product | Mapping[str, Any], where: str = "product") -> Product:
    """The product of a dictionary, or of an AMELI record (docs/datasets.md); a ``Product`` as it is.

    The dictionary has the keys ``id`` and ``name`` and may have ``category`` ("Kitchen -> Blenders" or a
    list), ``description``, ``features`` (a list), ``attributes`` (as ``specs.spec_rows`` takes them) and
    ``images`` (a path or a list of them); no others. NUL and lone surrogates are removed from texts. Raises
    AmeliError that begins with ``where`` and names the field.
    """
    if isinstance(record, Product):
        return replace(record, id=_checked_id(record.id, where))
    value = _cleaned(record, where)
    if "product_name" in value:
        return _parse(ProductRecord, value, where).product()
    return _parse(_OwnProduct, value, where).product()


def read_review(
    record: Review | Mapping[str, Any],
    where: str = "review",
    *,
    default_id: ReviewId = 1,
    images: AnyPath = ".",
) -> Review:
    """The review of a dictionary, or of an AMELI record (docs/datasets.md); a ``Review`` as it is.

    The dictionary may have the keys ``id`` or ``review_id`` (else ``default_id``), ``header``, ``body``,
    ``mention`` and ``images`` (a path or a list of them, relative to the folder ``images``); no others. Their
    paths come back absolute. An AMELI record names images in the dataset's own folders; its gold product is
    not read. NUL and lone surrogates are removed from texts.

    Raises AmeliError that begins with ``where`` and names the field, and ImageProblem with its reason for a
    path without a usable image. Only headers of images are read: a truncated one is found by who decodes it.
    """
    if isinstance(record, Review):
        return replace(record, id=_checked_id(record.id, where))
    value = _cleaned(record, where)
    if "review_id" in value and not value.keys() <= _OwnReview.model_fields.keys() | {"review_id"}:
        return _in_folders(_parse(ReviewRecord, value, where).review(), where)
    return _parse(_OwnReview, value, where).review(default_id, Path(images).absolute())


def _many(value: object) -> object:
    """One or several: a list of what a program may give as a single value or a tuple."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _path(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _attributes(value: object) -> tuple[SpecRow, ...]:
    try:
        return spec_rows(value)
    except ValueError as error:
        raise PydanticCustomError("attributes", "{reason}", {"reason": str(error)}) from None


_Texts = Annotated[list[str], BeforeValidator(_many)]
_Paths = Annotated[list[Annotated[str, BeforeValidator(_path)]], BeforeValidator(_many)]


class _Own(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _OwnProduct(_Own):
    id: Id
    name: str
    category: _Texts = []
    description: str | None = None
    features: _Texts = []
    attributes: Annotated[tuple[SpecRow, ...], BeforeValidator(_attributes)] = ()
    images: _Paths = []

    def product(self) -> Product:
        path = category_path(self.category[0]) if len(self.category) == 1 else tuple(self.category)
        return Product(
            id=self.id,
            name=self.name.strip(),
            category=tuple(part.strip() for part in path if part.strip()),
            description=(self.description or "").strip(),
            features=tuple(text.strip() for text in self.features if text.strip()),
            spec=self.attributes,
            images=tuple(self.images),
        )


class _OwnReview(_Own):
    id: Annotated[Id | None, Field(validation_alias=AliasChoices("id", "review_id"))] = None
    header: str | None = None
    body: str | None = None
    mention: str | None = None
    images: _Paths = []

    def review(self, default_id: ReviewId, base: Path) -> Review:
        paths = [base / name for name in self.images]
        for path in paths:
            probe_image(path)
        return Review(
            id=default_id if self.id is None else self.id,
            header=self.header or "",
            body=self.body or "",
            mention=(self.mention or "").strip(),
            images=tuple(map(str, paths)),
        )


def _cleaned(record: object, where: str) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        raise AmeliError(f"{where}: must be an object, found {type(record).__name__}.")
    try:
        cleaned: dict[str, Any] = clean(record).value
    except RecursionError:
        raise AmeliError(f"{where}: is nested too deeply.") from None
    return cleaned


def _parse(model: type[ModelT], value: dict[str, Any], where: str) -> ModelT:
    try:
        return parse(model, value)
    except RecordError as error:
        own = issubclass(model, _Own)
        hint = f"Its keys: {', '.join(model.model_fields)}." if own else ""
        raise AmeliError(f"{where}: {error}.", hint=hint) from None


def _checked_id(value: object, where: str) -> ReviewId:
    try:
        return as_id(value)
    except ValueError as error:
        raise AmeliError(f"{where}: the id must be {error}, found {value!r:.80}.") from None


def _in_folders(review: Review, where: str) -> Review:
    for name in review.images:
        if not is_image_name(name):
            raise AmeliError(f"{where}: image name {name[:80]!r} is not a bare file name.")
    return review

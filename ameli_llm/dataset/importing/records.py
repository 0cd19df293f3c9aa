"""Rows become records of products.json and reviews.json, by the mapping of their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ameli_llm.dataset.importing.cells import category_of, image_names, spec_of, text_of, texts_of
from ameli_llm.dataset.importing.columns import NIL, Columns
from ameli_llm.dataset.importing.fields import ATTRIBUTE, Kind
from ameli_llm.dataset.importing.identifiers import IdReader, id_reader
from ameli_llm.dataset.importing.losses import LeftOutError, What
from ameli_llm.dataset.importing.mapping import KindMapping
from ameli_llm.dataset.records import ProductRecord, RecordError, ReviewRecord, parse
from ameli_llm.dataset.specs import SECTION
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Product, Review, SpecRow

Record = dict[str, Any]
Note = Callable[[What, str], None]
"""Called with what is left out of a record and why."""

Values = dict[str, Any]

_TRUE = frozenset({"true", "yes", "1", "y", "t"})


class _Fields:
    """The columns of each field, and how their ids are read."""

    def __init__(self, mapping: KindMapping, columns: Columns, typed: bool) -> None:
        self._columns: dict[str, list[str]] = {}
        for name, field in mapping.columns.items():
            self._columns.setdefault(field, []).append(name)
        self._ids: dict[str, IdReader] = {
            field: id_reader(typed, columns, name)
            for field in ("id", "gold")
            for name in self._columns.get(field, [])[:1]
        }

    def id(self, field: str, values: Values) -> EntityId | None:
        """The id in the column of a field; None when there is no column, or nothing in it."""
        return self._ids[field](self.first(field, values)) if field in self._ids else None

    def first(self, field: str, values: Values) -> Any:
        """The value of the field's column."""
        return next(iter(self.each(field, values)), None)

    def text(self, field: str, values: Values) -> str:
        """The text of the field's column. Raises LeftOutError."""
        return text_of(self.first(field, values))

    def images(self, values: Values) -> list[str]:
        """The paths in the image columns."""
        return [path for cell in self.each("images", values) for path in image_names(cell)]

    def each(self, field: str, values: Values) -> list[Any]:
        """The values of the field's columns that the row has."""
        return [values[name] for name in self._columns.get(field, ()) if name in values]

    def named(self, field: str, values: Values) -> Iterator[tuple[str, Any]]:
        """Column and value for each of the field's columns."""
        return ((name, values[name]) for name in self._columns.get(field, ()) if name in values)


class ProductReader(_Fields):
    """Makes records of products."""

    def read(self, values: Values, note: Note) -> Record:
        """The record, with its images as the row has them; what cannot be used of it goes to ``note``.

        Raises LeftOutError when there is no id or a text that cannot be taken.
        """
        id_ = self.id("id", values)
        if id_ is None:
            raise LeftOutError("has no id")
        features = [text for cell in self.each("features", values) for text in texts_of(cell)]
        return {
            "id": id_,
            "product_name": self.text("name", values).strip(),
            "product_category": " -> ".join(self._category(values)) or None,
            "overview_section": {
                "description": self.text("description", values).strip() or None,
                "features": [{"header": None, "description": text} for text in features],
            },
            "Spec": _sections(self._spec(values, note)),
            "image_path": self.images(values),
        }

    def _category(self, values: Values) -> list[str]:
        return [part for cell in self.each("category", values) for part in category_of(cell)]

    def _spec(self, values: Values, note: Note) -> list[SpecRow]:
        rows: list[SpecRow] = []
        for _, cell in self.named("attributes", values):
            try:
                rows += spec_of(cell) if cell != "" else ()
            except LeftOutError as reason:
                note("attribute", str(reason))
        for name, cell in self.named(ATTRIBUTE, values):
            try:
                rows += _attribute(name, cell)
            except LeftOutError as reason:
                note("attribute", str(reason))
        return rows


class ReviewReader(_Fields):
    """Makes records of reviews."""

    def read(self, values: Values, default_id: ReviewId) -> Record:
        """The record, with its images as the row has them; ``default_id`` is its id where none is given.

        A gold cell that is blank gives a review without gold, "nil" one whose product is outside the
        knowledge base. Raises LeftOutError when a text or an id cannot be taken.
        """
        id_ = self.id("id", values)
        record: Record = {
            "review_id": default_id if id_ is None else id_,
            "header": self.text("header", values),
            "body": self.text("body", values),
            "mention": self.text("mention", values).strip(),
            "review_image_path": self.images(values),
        }
        gold = self.first("gold", values)
        is_nil = isinstance(gold, str) and gold.strip().lower() == NIL
        product = None if is_nil else self.id("gold", values)
        if is_nil or product is not None:
            name = self.text("gold_name", values).strip() or None
            record["gold_entity_info"] = {"id": product, "product_name": name}
        for name, cell in self.named("slice", values):
            if str(cell).strip().lower() in _TRUE:
                record.setdefault(name, True)
        return record

    def split(self, values: Values) -> str:
        """What the row says of its split, in lower case; "" for nothing."""
        return text_of(self.first("split", values)).strip().lower()


def check_record(kind: Kind, record: Record) -> Product | Review:
    """What the record says, read as a dataset's record is. Raises LeftOutError when that would fail."""
    try:
        if kind == "products":
            return parse(ProductRecord, record).product()
        return parse(ReviewRecord, record).review()
    except RecordError as error:
        raise LeftOutError(str(error).partition(", found")[0]) from None


def _sections(rows: Sequence[SpecRow]) -> list[Record]:
    if not rows:
        return []
    return [{"subsection": SECTION, "text": [{"specification": row.key, "value": row.value} for row in rows]}]


def _attribute(name: str, cell: Any) -> tuple[SpecRow, ...]:
    """An object gives its own keys, anything else values of the column's name."""
    if isinstance(cell, dict):
        return spec_of(cell)
    values = cell if isinstance(cell, list) else [cell]
    return tuple(SpecRow(SECTION, name, text) for value in values if (text := text_of(value).strip()))

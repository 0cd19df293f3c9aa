"""Raw products and reviews, row by row: records in AMELI's form, and what only a source knows of a review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ameli_llm.dataset.importing.fields import Kind, plain
from ameli_llm.dataset.importing.losses import Losses
from ameli_llm.dataset.importing.plan import Plan
from ameli_llm.dataset.importing.records import Note, ProductReader, ReviewReader, check_record
from ameli_llm.dataset.importing.tables.table import Table
from ameli_llm.dataset.records import clean
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.types import Product

Record = dict[str, Any]

ENDINGS = (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet", ".pq")
_PRODUCT_KEYS = (
    *("id", "product_name", "product_category", "url", "overview_section", "Spec", "image_path", "image_url"),
)
_REVIEW_KEYS = ("review_id", "header", "body", "rating", "recommendation", "feedback", "review_image_path")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "helpful": (
        *("number helpful", "helpful votes", "helpful vote", "helpful count", "helpful", "votes up"),
        *("num helpful", "reviews num helpful", "positive feedback count"),
    ),
    "unhelpful": (
        *("number unhelpful", "unhelpful votes", "unhelpful vote", "unhelpful count", "unhelpful"),
        *("not helpful", "votes down", "negative feedback count"),
    ),
    "details": ("product details", "product detail", "variant", "variation", "product variant"),
}
"""Names that the columns of votes and of the reviewed variant have, the likeliest first."""


@dataclass(frozen=True)
class RawRow:
    """A row of the ``source``, the ``table``-th file of its kind; ``number`` counts all rows from 0."""

    number: int
    table: int
    source: Table
    place: str
    values: Record


@dataclass(frozen=True)
class RawReview:
    """A review on its way through a build.

    ``record`` is what the dataset will hold. ``details`` is the source's word on the reviewed variant, None
    for nothing. ``table`` is the number of its file, ``position`` its number among all rows that were read.
    """

    position: int
    table: int
    place: str
    record: Record
    details: Any = None

    @property
    def text(self) -> str:
        """Header, period, body."""
        parts = (self.record.get("header") or "", self.record.get("body") or "")
        return ". ".join(part.strip() for part in parts if part.strip())

    @property
    def images(self) -> tuple[str, ...]:
        """Paths of its photos as the source names them."""
        return tuple(self.record.get("review_image_path") or ())

    @property
    def votes(self) -> tuple[int, int]:
        """How many called it helpful and unhelpful; 0 where nothing is said."""
        feedback = self.record.get("feedback")
        found = feedback if isinstance(feedback, dict) else {}
        return _votes(found.get("number_helpful")), _votes(found.get("number_unhelpful"))

    @property
    def product(self) -> Any:
        """The id of the product that it was filed under, None for none."""
        gold = self.record.get("gold_entity_info")
        return gold.get("id") if isinstance(gold, dict) else None

    def having(self, **fields: Any) -> RawReview:
        """The review with other fields in its record."""
        return replace(self, record=self.record | fields)


def raw_files(raw: Path) -> list[Path]:
    """The tables in a folder and below, by name; hidden ones and those in folders of images do not count.

    Raises AmeliError when there is no such folder, or none in it.
    """
    if not raw.is_dir():
        raise AmeliError(f"No folder at {raw}.", hint="Name the folder of the raw products and reviews.")
    found = sorted(
        path
        for path in raw.rglob("*")
        if path.suffix.lower() in ENDINGS
        if path.is_file()
        and not any(part.startswith(".") or part.endswith("images") for part in path.relative_to(raw).parts)
    )
    if not found:
        raise AmeliError(f"No table in {raw}.", hint=f"Tables end in {', '.join(ENDINGS)}.")
    return found


class RawTables:
    """The rows of a plan's tables as products and reviews, in the order of the files."""

    def __init__(self, plan: Plan, raw: Path, columns: Mapping[str, str], images: Path | None = None) -> None:
        self._plan = plan
        self._raw = raw
        self._images = images
        self._extra = _extra_columns(plan, columns)

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns of votes and of the reviewed variant that were found, by what they are."""
        return self._extra

    def rows(self, kind: Kind) -> int:
        """How many rows there are."""
        return self._plan.columns[kind].rows

    def folders(self, kind: Kind, table: int) -> list[Path]:
        """Where the image paths of a table may start."""
        if self._images is not None:
            return [self._images]
        return list(dict.fromkeys((self._plan.tables[kind][table].path.parent, self._raw)))

    def each(self, kind: Kind, losses: Losses, skip: int = 0) -> Iterator[RawRow]:
        """The rows from number ``skip`` on; ``losses`` counts all that cannot be read, from the first on."""
        number = 0
        for index, table in enumerate(self._plan.tables[kind]):
            for row in table.rows(losses):
                if number >= skip:
                    yield RawRow(number, index, table, table.place(row.position), clean(row.values).value)
                number += 1

    def product(self, row: RawRow, note: Note) -> tuple[Record, Product]:
        """The record of a row of products. Raises LeftOutError."""
        part = self._plan.mapping.products
        if part.records == "ameli":
            record = {key: row.values[key] for key in _PRODUCT_KEYS if key in row.values}
        else:
            record = ProductReader(part, self._plan.columns["products"], row.source.typed).read(
                row.values, note
            )
        product = check_record("products", record)
        assert isinstance(product, Product)
        return record, product

    def review(self, row: RawRow) -> RawReview:
        """The review of a row. Raises LeftOutError."""
        part, values = self._plan.mapping.reviews, row.values
        if part.records == "ameli":
            record = {key: values[key] for key in _REVIEW_KEYS if key in values}
            record |= {name: True for name, value in values.items() if value is True}
            record |= {"mention": "", "gold_entity_info": values.get("gold_entity_info")}
            # Stages of the release keep one image there, chosen by gold; the other field has them all.
            if before := values.get("review_image_path_before_select"):
                record["review_image_path"] = before
        else:
            numbered = not part.columns_of("id")
            record = ReviewReader(part, self._plan.columns["reviews"], row.source.typed).read(
                values, row.number + 1 if numbered else row.place
            )
            record |= {"mention": "", **self._feedback(values)}
        check_record("reviews", record)
        details = values.get(self._extra.get("details", ""))
        return RawReview(
            row.number, row.table, row.place, record, None if details in ("", [], {}) else details
        )

    def _feedback(self, values: Record) -> Record:
        found = {
            name: values.get(self._extra[name]) for name in ("helpful", "unhelpful") if name in self._extra
        }
        return (
            {"feedback": {f"number_{name}": _votes(value) for name, value in found.items()}} if found else {}
        )


def _extra_columns(plan: Plan, asked: Mapping[str, str]) -> dict[str, str]:
    """The column of each thing that only raw reviews have. Raises UnknownNameError for one not there."""
    present = list(plan.columns["reviews"].by_name)
    found: dict[str, str] = {}
    for what, names in _NAMES.items():
        if wanted := asked.get(what, ""):
            if wanted not in present:
                raise UnknownNameError("column of reviews", wanted, present)
            found[what] = wanted
            continue
        called = sorted((names.index(plain(name)), name) for name in present if plain(name) in names)
        if called:
            found[what] = called[0][1]
    return found


def _votes(value: Any) -> int:
    """A number of votes, 0 for what is none."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return 0
    return int(value) if isinstance(value, int | float) and 0 < value < 1e12 else 0

"""The reviews of one split and, apart from them, their gold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from ameli_llm.dataset.content import reviews_digest
from ameli_llm.dataset.files import RawRecord
from ameli_llm.dataset.image_files import is_image_name
from ameli_llm.dataset.problems import Problem, bad_image_name, duplicate, unclean
from ameli_llm.dataset.records import GoldRecord, ReviewRecord
from ameli_llm.dataset.unique_ids import UniqueIds
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Product, Review

Resolve = Callable[[EntityId], EntityId | None]
"""The product of an id or of its text, as ``Dataset.resolve`` finds it."""

RecordT = TypeVar("RecordT", Product, Review)


@dataclass(frozen=True)
class Split:
    """The reviews of one split and, apart from them, their gold.

    ``gold`` maps a review id to its product id, to None when the product is outside the KB (NIL); a review
    without gold information is absent. ``gold_names`` holds the product names that the reviews' file gives.
    ``digest`` is the sha256 of reviews and gold in file order (image names, not their bytes).
    """

    name: str
    reviews: tuple[Review, ...]
    gold: Mapping[ReviewId, EntityId | None]
    gold_names: Mapping[ReviewId, str]
    problems: tuple[Problem, ...]
    digest: str


def read_split(
    name: str, records: Iterable[RawRecord], resolve: Resolve, problems: Iterable[Problem] = ()
) -> Split:
    """The split of these records; its problems are ``problems`` and then what is degraded in the records.

    A repeated review id keeps the first record and is a Problem. Raises AmeliError on a record of a wrong
    type, and on two review ids of the same text.
    """
    met = list(problems)
    ids = UniqueIds("review")
    reviews: list[Review] = []
    gold: dict[ReviewId, EntityId | None] = {}
    names: dict[ReviewId, str] = {}
    for raw in records:
        record = raw.parse(ReviewRecord)
        where = f"review {record.review_id}"
        if not ids.is_new(record.review_id, f"{raw.path}, record {raw.position}"):
            met.append(duplicate("duplicate_review_id", where, raw.position))
            continue
        met += unclean(where, raw.removed)
        reviews.append(with_good_images(record.review(), where, met))
        if record.gold_entity_info is not None:
            gold[record.review_id] = _gold(record.gold_entity_info, resolve, where, met)
            names[record.review_id] = record.gold_entity_info.product_name or ""
    return Split(
        name=name,
        reviews=tuple(reviews),
        gold=MappingProxyType(gold),
        gold_names=MappingProxyType(names),
        problems=tuple(met),
        digest=reviews_digest(reviews, gold),
    )


def _gold(record: GoldRecord, resolve: Resolve, where: str, problems: list[Problem]) -> EntityId | None:
    product = None if record.id is None else resolve(record.id)
    if product is None and record.id is not None:
        message = (
            f"gold product {record.id} is not in the KB; a product known to be outside it has the id null"
        )
        problems.append(Problem("gold_not_in_kb", where, message, "error"))
    return product


def with_good_images(record: RecordT, where: str, problems: list[Problem]) -> RecordT:
    """The record without image names that are paths: a dataset may only name files in its own folders."""
    good = tuple(name for name in record.images if is_image_name(name))
    if len(good) == len(record.images):
        return record
    problems += (bad_image_name(where, name) for name in record.images if name not in good)
    return replace(record, images=good)

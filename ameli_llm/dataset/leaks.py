"""What a dataset gives away of its gold products: in its texts, and in the fields that pipeline stages added.

The release's records carry fields that were made with gold (docs/datasets.md, "Leaks"). They are read here
only: ``Review`` and ``Product`` have none of them, so that no stage of the pipeline can see them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import Dataset, Problem, Split
from ameli_llm.dataset.records import Id, RecordError, parse
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Product

LIST_LENGTHS = (10, 100)
"""Lengths of the release's candidate lists; the prior filter leaves shorter ones."""

_SEEN_BEFORE_TEST = ("train", "dev")
_WORD = re.compile(r"[^\W_]+")


class StageRecord(BaseModel):
    """The fields of a review's record that the official pipeline's stages add, as far as they can leak.

    Products are named by ids in the list, and by the ids' texts in objects.
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    review_id: Id
    fused_candidate_list: list[Id] | None = None
    fused_score_dict: dict[str, Any] | None = None
    predicted_attribute: dict[str, Any] | None = None
    attribute: dict[str, Any] | None = None
    gold_attribute_for_predicted_category: dict[str, Any] | None = None
    review_image_path_before_select: list[str] | None = None
    review_special_product_info: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Filled:
    """How many records of a split have ``attribute``, and in how many it holds values of gold only."""

    records: int
    from_gold: int


def leak_problems(dataset: Dataset, splits: Sequence[Split]) -> Iterator[Problem]:
    """Every leak that a record shows; the records are read again for it, all as warnings."""
    yield from _mention_problems(dataset, splits)
    filled = {}
    for split in splits:
        problems: list[Problem] = []
        records = list(_stage_records(dataset, split, problems))
        yield from problems
        for record in records:
            where = f"{split.name} review {record.review_id}"
            yield from _record_problems(record, split.name, split.gold.get(record.review_id), where)
        filled[split.name] = _filled(dataset, split, records)
    yield from _filled_problems(filled)


def quotes(text: str, name: str) -> bool:
    """Whether the name stands in the text as whole words, whatever the case and spacing."""
    words = " ".join(name.casefold().split())
    body = " ".join(text.casefold().split())
    start = body.find(words) if words else -1
    while start >= 0:
        end = start + len(words)
        if not (body[start - 1 : start].isalnum() or body[end : end + 1].isalnum()):
            return True
        start = body.find(words, start + 1)
    return False


# Mentions


class _Titles:
    """The products' titles by word, to count those that hold a mention."""

    def __init__(self, products: Mapping[EntityId, Product]) -> None:
        self._products = products
        self._with_word: dict[str, set[EntityId]] = {}
        self._holders: dict[str, frozenset[EntityId]] = {}
        for product in products.values():
            for word in _words(product.name):
                self._with_word.setdefault(word, set()).add(product.id)

    def holding(self, mention: str) -> frozenset[EntityId]:
        """Ids of the products whose title has the mention as whole words."""
        if mention not in self._holders:
            sets = [self._with_word.get(word, set()) for word in _words(mention)]
            likely = set.intersection(*sets) if sets else set()
            held = frozenset(i for i in likely if quotes(self._products[i].name, mention))
            self._holders[mention] = held
        return self._holders[mention]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _mention_problems(dataset: Dataset, splits: Sequence[Split]) -> Iterator[Problem]:
    """Mentions that stand in the gold product's title, but not in every title."""
    titles = _Titles(dataset.products)
    others = len(dataset.products) - 1
    for split in splits:
        for review in split.reviews:
            gold = split.gold.get(review.id)
            holders = titles.holding(review.mention)
            if gold in holders and len(holders) - 1 < others:
                message = (
                    f"mention {review.mention!r} stands in the title of its gold product, "
                    f"and in {len(holders) - 1} of {others} others"
                )
                where = f"{split.name} review {review.id}"
                yield Problem("mention_in_gold_title", where, message, "warning")


# Fields of the pipeline's stages


def _stage_records(dataset: Dataset, split: Split, problems: list[Problem]) -> Iterator[StageRecord]:
    """The first record of each review, as the loader takes it."""
    seen: set[ReviewId] = set()
    for raw in dataset.split_records(split.name):
        try:
            record = parse(StageRecord, raw.value)
        except RecordError as error:
            where = f"{split.name} record {raw.position}"
            problems.append(Problem("stage_field_unread", where, f"{error}: not audited", "warning"))
            continue
        if record.review_id not in seen:
            seen.add(record.review_id)
            yield record


def _record_problems(record: StageRecord, split: str, gold: EntityId | None, where: str) -> Iterator[Problem]:
    listed = record.fused_candidate_list
    if listed is not None and len(listed) < max(LIST_LENGTHS) and len(listed) not in LIST_LENGTHS:
        expected = min(length for length in LIST_LENGTHS if length > len(listed))
        message = f"fused_candidate_list has {len(listed)} products, not {expected}"
        yield Problem("short_candidate_list", where, message, "warning")
    named = {str(id_) for id_ in listed or ()}
    scored = record.fused_score_dict or {}
    if gold is not None and str(gold) in scored and str(gold) not in named:
        message = f"gold product {gold} is in fused_score_dict, not in fused_candidate_list"
        yield Problem("gold_only_in_score_dict", where, message, "warning")
    keys = set(record.gold_attribute_for_predicted_category or {})
    for name, held in (("predicted_attribute", record.predicted_attribute), ("attribute", record.attribute)):
        if held and set(held) == keys:
            message = f"{name} has exactly the keys of gold_attribute_for_predicted_category"
            yield Problem("attribute_keys_from_gold", where, message, "warning")
    if split in _SEEN_BEFORE_TEST:
        chosen = [
            name
            for name in ("review_image_path_before_select", "review_special_product_info")
            if getattr(record, name)
        ]
        if chosen:
            message = f"its image was chosen by comparing with product images, gold's included ({chosen[0]})"
            yield Problem("image_chosen_with_gold", where, message, "warning")


def _filled(dataset: Dataset, split: Split, records: Sequence[StageRecord]) -> _Filled:
    having = [(record, gold) for record in records if record.attribute and (gold := _gold(split, record))]
    own = sum(_from(dataset.products[gold], record.attribute or {}) for record, gold in having)
    return _Filled(len(having), own)


def _gold(split: Split, record: StageRecord) -> EntityId | None:
    return split.gold.get(record.review_id)


def _from(product: Product, attribute: Mapping[str, Any]) -> bool:
    """Whether all values are the product's own, its title among them, whatever their case."""
    known = {**attribute_dictionary(product), "Product Title": (product.name,)}
    own = {key: {value.casefold() for value in values} for key, values in known.items()}
    return all(
        str(value).casefold() in own.get(key, ())
        for key, values in attribute.items()
        for value in (values if isinstance(values, list) else [values])
    )


def _filled_problems(filled: Mapping[str, _Filled]) -> Iterator[Problem]:
    """Splits seen before test whose ``attribute`` was copied from gold, where that of test was not."""
    test = filled.get("test", _Filled(0, 0))
    if test.records and test.from_gold == test.records:
        return
    for name in _SEEN_BEFORE_TEST:
        split = filled.get(name, _Filled(0, 0))
        if split.records and split.from_gold == split.records:
            message = (
                f"attribute holds values of the gold product alone in all {split.records} records "
                f"that have it; in test in {test.from_gold} of {test.records}"
            )
            yield Problem("attribute_values_from_gold", name, message, "warning")

"""Cuts the reviews of a dataset into train, dev and test anew, without a gold product in two of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.records import ReviewRecord
from ameli_llm.dataset.unique_ids import UniqueIds
from ameli_llm.dataset.writing import write_copy
from ameli_llm.errors import AmeliError
from ameli_llm.files import new_folder

NAMES = ("train", "dev", "test")

Answer = Literal["product", "nil", "none"]
"""What a review's gold is: a product of the KB or one that is missing there, outside the KB, or not given."""


@dataclass(frozen=True)
class Part:
    """What went into a split: ``products`` are distinct gold products, ``nil`` and ``no_gold`` reviews."""

    reviews: int
    products: int
    nil: int
    no_gold: int


@dataclass(frozen=True)
class _Review:
    record: Any
    answer: Answer
    group: str


def write_split(
    dataset: Dataset, out: Path, *, ratios: Sequence[int] = (80, 10, 10), seed: int = 0
) -> dict[str, Part]:
    """Writes the dataset ``out`` with all reviews divided anew; returns what went into each split.

    Reviews of one product stay together, so do those that name the same product outside the KB, and a review
    without gold stands alone. Each of the three sorts is divided by ``ratios`` (train, dev, test), counted in
    reviews, as near as its groups allow; a split that gets no review is not written. The order is by a hash
    of ``seed`` and the gold: that of the files does not matter. Pictures are hard links or copies.

    Raises AmeliError when the ratios are none, an id stands in two splits of the dataset, or ``out`` exists.
    """
    if len(ratios) != len(NAMES) or min(ratios) < 0 or sum(ratios) == 0:
        shown = "/".join(map(str, ratios))
        raise AmeliError(
            f"The ratios {shown} are not those of train, dev and test.", hint="For instance: 80/10/10"
        )
    reviews = _reviews(dataset)
    if not reviews:
        raise AmeliError(f"There is no review to divide in {dataset.name}.")
    places: list[int] = [0] * len(reviews)
    sorts: tuple[Answer, ...] = ("product", "nil", "none")
    for answer in sorts:
        groups: dict[str, list[int]] = {}
        for number, review in enumerate(reviews):
            if review.answer == answer:
                groups.setdefault(review.group, []).append(number)
        order = sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())
        for group, place in zip(order, divide([len(groups[g]) for g in order], ratios), strict=True):
            for number in groups[group]:
                places[number] = place
    parts = {
        name: [review for review, at in zip(reviews, places, strict=True) if at == place]
        for place, name in enumerate(NAMES)
    }
    with new_folder(out) as draft:
        splits = {name: [review.record for review in part] for name, part in parts.items() if part}
        write_copy(dataset, draft, splits)
    return {name: _part(part) for name, part in parts.items()}


def _reviews(dataset: Dataset) -> list[_Review]:
    ids = UniqueIds("review")
    found = []
    for split in dataset.splits():
        for raw in dataset.split_records(split):
            record = raw.parse(ReviewRecord)
            where = f"{raw.path}, record {raw.position}"
            if not ids.is_new(record.review_id, where):
                raise AmeliError(
                    f"{where}: the review id {record.review_id!r} stands in an earlier record too."
                )
            found.append(_Review(raw.value, *_answer(record)))
    return found


def _answer(record: ReviewRecord) -> tuple[Answer, str]:
    """The sort of a review, and the group that it must stay with."""
    gold = record.gold_entity_info
    alone = f"review {record.review_id}"
    if gold is None:
        return "none", alone
    if gold.id is not None:
        return "product", f"product {gold.id}"
    return "nil", f"named {gold.product_name}" if gold.product_name else alone


def divide(sizes: Sequence[int], ratios: Sequence[int]) -> list[int]:
    """A split for each group of so many reviews: in their order to the split that lacks most, then moves.

    ``ratios`` are those of train, dev and test; the splits are the places 0, 1 and 2. Moves of one group to
    another split follow as long as they bring the counts nearer to the ratios.
    """
    total = sum(sizes)
    used = [place for place, ratio in enumerate(ratios) if ratio]
    lacking = [total * ratio / sum(ratios) for ratio in ratios]
    places: list[int] = []
    for size in sizes:
        place = max(used, key=lambda p: (lacking[p], -p))
        lacking[place] -= size
        places.append(place)
    while (move := _best_move(sizes, places, lacking, used)) is not None:
        group, place = move
        lacking[places[group]] += sizes[group]
        lacking[place] -= sizes[group]
        places[group] = place
    return places


def _best_move(
    sizes: Sequence[int], places: Sequence[int], lacking: Sequence[float], used: Sequence[int]
) -> tuple[int, int] | None:
    """The group whose move to another split brings the counts nearest to the ratios; None when none does."""
    best: tuple[int, int] | None = None
    gain = 1e-6
    alike: dict[tuple[int, int], int] = {}
    for group, (size, place) in enumerate(zip(sizes, places, strict=True)):
        alike.setdefault((size, place), group)
    for (size, old), group in sorted(alike.items()):
        for new in used:
            before = lacking[old] ** 2 + lacking[new] ** 2
            after = (lacking[old] + size) ** 2 + (lacking[new] - size) ** 2
            if new != old and before - after > gain:
                best, gain = (group, new), before - after
    return best


def _part(reviews: Sequence[_Review]) -> Part:
    answers = Counter(review.answer for review in reviews)
    products = {review.group for review in reviews if review.answer == "product"}
    return Part(len(reviews), len(products), answers["nil"], answers["none"])

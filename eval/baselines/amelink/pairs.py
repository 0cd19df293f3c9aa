"""The text pairs of a review and a candidate: one an attribute, one for the description (section 4.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ameli_llm.types import Attributes, AttributeValue, Product, Review
from eval.baselines.amelink.settings import AmelinkSettings
from eval.baselines.baseline import Task
from eval.baselines.material import Material

TITLE = "Product Title"
OFFICIAL_FIRST = (TITLE, "Product Name", "Brand")
LONGEST = 4000
"""Characters of a text; more than what an encoder of 512 tokens reads."""


MOST_CLAUSES = 40
"""Clauses of a review that are looked at."""

_BREAK = re.compile(r"(?<=[.!?,;])\s+|\s+(?=(?:and|but|so|because)\b)", re.IGNORECASE)
_WORD = re.compile(r"\w")


class TextPair(NamedTuple):
    """Two texts of which the first may or may not imply the second."""

    first: str
    second: str


PairSet: TypeAlias = tuple[TextPair | None, ...]
"""A candidate's pairs by slot, attributes first; None is a slot that stays empty."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Which texts of a candidate a text model sees: so many attributes, the title among them or not."""

    attributes: int
    title: bool
    description: bool = True

    def __len__(self) -> int:
        return self.attributes + self.description


def pair_sets(task: Task, material: Material, slots: Slots, settings: AmelinkSettings) -> list[PairSet]:
    """The pairs of each candidate, in the candidates' order, ``len(slots)`` each."""
    text = review_text(task.review, task.extracted, settings)
    return [
        _pair_set(
            text,
            task,
            material.dataset.products[entity],
            material.attributes[entity],
            slots,
            settings,
        )
        for entity in task.entity_ids
    ]


def review_text(review: Review, extracted: Iterable[AttributeValue], settings: AmelinkSettings) -> str:
    """Mention, the attributes that the review states where the settings ask for them, header and body."""
    stated = _stated(extracted) if settings.review_attributes else []
    facts = " ".join(f"{key}: {value}." for key, value in stated)
    return ". ".join(part for part in (review.mention.strip(), facts, review.text) if part)[:LONGEST]


def chosen_attributes(
    product: Product,
    attributes: Attributes,
    extracted: Iterable[AttributeValue],
    slots: Slots,
    settings: AmelinkSettings,
) -> list[tuple[str, str]]:
    """Key and value of the attributes that fill the slots; several values of a key are one text."""
    held = {key: ", ".join(values) for key, values in attributes.items() if values}
    if slots.title and product.name:
        held[TITLE] = product.name
    first = OFFICIAL_FIRST if settings.order == "official" else (TITLE,)
    stated = dict(_stated(extracted))
    ordered = dict.fromkeys([*first, *(key for key in held if key in stated), *held])
    return [(key, held[key]) for key in ordered if key in held][: slots.attributes]


def _pair_set(
    text: str, task: Task, product: Product, attributes: Attributes, slots: Slots, settings: AmelinkSettings
) -> PairSet:
    chosen = chosen_attributes(product, attributes, task.extracted, slots, settings)
    if settings.padding == "first" and chosen:
        value = chosen[0][1]
        chosen += [(str(slot), value) for slot in range(len(chosen), slots.attributes)]
    pairs: list[TextPair | None] = [
        TextPair(text, statement(key, value, task.review.mention, settings)) for key, value in chosen
    ]
    pairs += [None] * (slots.attributes - len(pairs))
    if slots.description:
        described = " ".join(product.description.split())[:LONGEST]
        # Of a siamese pair the review is always u: turned round it would be the same pair.
        turned = settings.description_first and settings.pairing == "joint"
        pair = (described, text) if turned else (text, described)
        pairs.append(TextPair(*pair) if described else None)
    return tuple(pairs)


def statement(key: str, value: str, mention: str, settings: AmelinkSettings) -> str:
    """The attribute as a text."""
    return settings.statement.format(key=key, value=value, mention=mention)[:LONGEST]


def _stated(extracted: Iterable[AttributeValue]) -> list[tuple[str, str]]:
    """Key and value that the review states, the first of each key; denied ones are none."""
    stated: dict[str, str] = {}
    for value in extracted:
        if not value.negated:
            stated.setdefault(value.key, value.value)
    return list(stated.items())


def clauses(text: str) -> tuple[str, ...]:
    """The text cut at punctuation and before "and", "but", "so", "because"; never empty."""
    found = [part for part in _BREAK.split(text) if _WORD.search(part)]
    return tuple(found[:MOST_CLAUSES]) or (text,)

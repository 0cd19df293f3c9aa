"""Where told reviews come from: invented knowledge bases, the products of a dataset, its real reviews."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.attributes.rules import RulesExtractor
from ameli_llm.attributes.values.normalise import agreement, normalise, normalise_all
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.instruction.annotated import Annotated, read_annotated
from ameli_llm.instruction.shopper import Subject, load_phrases, tell
from ameli_llm.instruction.teacher import Teacher
from ameli_llm.instruction.told import TOGETHER, Fact, Told
from ameli_llm.instruction.wording import Wording, said
from ameli_llm.instruction.world import Shelf, invent, words
from ameli_llm.prompting.example import vocabulary_of
from ameli_llm.types import Attributes, AttributeValue, Product

CANDIDATES = 10
"""Products that a review is compared with (AMELI compares 10)."""

_MISSING = 0.1
"""Share of reviews whose product is not among the candidates."""

_OTHER = 104_729
"""Added to the seed for what is judged on."""

_MIXED = 0.3
"""Share of rows of invented products whose candidates are any of the category, not the nearest."""

_FROM_ONE_SHELF = 4
"""Rows of one invented category before the next one is made."""


class Source(Protocol):
    """Endless rows of told reviews; the same row always gives the same ones."""

    @property
    def identity(self) -> str:
        """Names all that the rows depend on."""

    def told(self, row: int) -> tuple[Told, ...]:
        """The reviews of a row, counted from 0, of the same candidates; none where nothing is to learn."""


class Invented:
    """Shopper-style text about invented products; every few rows are of a category of their own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.identity = f"invented {seed} {_vocabulary()}"

    def told(self, row: int) -> tuple[Told, ...]:
        """Reviews of products among their variants and others of their category."""
        rng = np.random.default_rng((self._seed, 1, row))
        shelf = _shelf(self._seed, row // _FROM_ONE_SHELF)
        at = int(rng.integers(len(shelf.products)))
        near = nearest(at, shelf.attributes, rng)
        if rng.random() < _MIXED:
            near = [int(one) for one in rng.permutation(len(shelf.products)) if one != at][: CANDIDATES - 1]
        shown = [at, *near]
        group = [(shelf.products[one], shelf.attributes[one]) for one in shown]
        return _together(group, row, shelf.mentions, shelf.brand_names, shelf.say, rng)


class Products:
    """Shopper-style text about the products of a dataset, each beside the nearest of its category."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._products = list(dataset.products.values())
        self._attributes = [attribute_dictionary(product) for product in self._products]
        self._by_category: dict[str, list[int]] = {}
        for at, product in enumerate(self._products):
            self._by_category.setdefault(product.leaf_category, []).append(at)
        self._seed = seed
        self.identity = f"products of {dataset.digest} {seed}"

    def near(self, at: int, rng: np.random.Generator) -> list[int]:
        """Positions of the products of the category that share most values with the one at ``at``."""
        members = self._by_category[self._products[at].leaf_category]
        known = [self._attributes[member] for member in members]
        return [members[other] for other in nearest(members.index(at), known, rng)]

    def told(self, row: int) -> tuple[Told, ...]:
        """Reviews of any product and its nearest; none for one that is alone in its category."""
        rng = np.random.default_rng((self._seed, 2, row))
        at = int(rng.integers(len(self._products)))
        near = self.near(at, rng)
        if not near:
            return ()
        group = [(self._products[one], self._attributes[one]) for one in (at, *near)]
        mention = self._products[at].leaf_category.lower() or "product"
        return _together(group, row, [mention], ["another brand"], said, rng)


class Reviews:
    """Real reviews of a split whose gold product is known, with the facts that rules read in them.

    Of one in which they find none it is not known what it states. A value counts as stated where the rules
    find it and the gold product has it, as denied where they find it denied and the product has another:
    labels of high precision, not complete ones.
    """

    def __init__(self, dataset: Dataset, split: str, seed: int) -> None:
        chosen = dataset.split(split)
        self._products = list(dataset.products.values())
        place = {product.id: at for at, product in enumerate(self._products)}
        found = ((review, chosen.gold.get(review.id)) for review in chosen.reviews)
        self._reviews = [(review, place[gold]) for review, gold in found if gold in place]
        self._near = Products(dataset, seed)
        self._rules = RulesExtractor()
        self._seed = seed
        self.identity = f"reviews of {dataset.digest} {split} {seed}"

    def __len__(self) -> int:
        return len(self._reviews)

    def told(self, row: int) -> tuple[Told, ...]:
        """A real review, among the nearest of its product."""
        rng = np.random.default_rng((self._seed, 3, row))
        review, gold = self._reviews[int(rng.integers(len(self._reviews)))]
        near = [gold, *self._near.near(gold, rng)]
        order = [int(at) for at in rng.permutation(len(near))]
        candidates = tuple(self._products[near[at]] for at in order)
        attributes = tuple(attribute_dictionary(product) for product in candidates)
        told = Told(review, (), candidates, attributes)
        (found,) = self._rules.extract([ExtractionTask(review, vocabulary_of(told.task()))])
        own = attribute_dictionary(self._products[gold])
        facts = tuple(fact for value in found.values if (fact := _fact(value, own)) is not None)
        return (Told(review, facts, candidates, attributes, product=order.index(0), read=bool(facts)),)


def sources_of(
    datasets: Sequence[Path], seed: int, teacher: Path | None = None
) -> tuple[list[Source], list[Source]]:
    """What to train on, and what to judge on: of datasets, or without one of invented knowledge bases.

    A dataset gives text about its products, and the reviews of its splits train and dev where it has them; a
    file of annotated texts, nine in ten of them, and judges on the others.
    With a ``teacher``, a run on the one dataset, its answers are all that is trained on. Raises AmeliError
    for a folder that is no dataset, and for a run on another one.
    """
    if teacher is not None:
        if len(datasets) != 1:
            raise AmeliError("A teacher needs its dataset.", hint="Name the one that the run was made on.")
        dataset = load_dataset(datasets[0])
        return [Teacher(teacher, dataset, seed)], [Teacher(teacher, dataset, seed + _OTHER)]
    train: list[Source] = []
    dev: list[Source] = []
    for folder in datasets:
        if folder.is_file():
            texts = read_annotated(folder)
            held = set(
                np.random.default_rng(seed).permutation(len(texts))[: max(1, len(texts) // 10)].tolist()
            )
            train.append(
                Annotated([text for at, text in enumerate(texts) if at not in held], seed, exchange=True)
            )
            dev.append(Annotated([text for at, text in enumerate(texts) if at in held], seed))
            continue
        dataset = load_dataset(folder)
        train.append(Products(dataset, seed))
        dev.append(Products(dataset, seed + _OTHER))
        for split, chosen in (("train", train), ("dev", dev)):
            reviews = Reviews(dataset, split, seed) if split in dataset.splits() else None
            if reviews is not None and len(reviews):
                chosen.append(reviews)
    return train or [Invented(seed)], dev or [Invented(seed + _OTHER)]


def nearest(at: int, attributes: Sequence[Attributes], rng: np.random.Generator) -> list[int]:
    """Positions of the products that share most values with the one at ``at``; equal ones by chance."""
    own = {(key, value) for key, values in attributes[at].items() for value in values}
    shared = [
        sum((key, value) in own for key, values in known.items() for value in values) for known in attributes
    ]
    others = [int(other) for other in rng.permutation(len(attributes)) if other != at]
    return sorted(others, key=lambda other: -shared[other])[: CANDIDATES - 1]


def _fact(value: AttributeValue, own: Attributes) -> Fact | None:
    level = agreement(normalise(value.key, value.value), normalise_all(value.key, own.get(value.key, ())))
    if level != (0 if value.negated else 1):
        return None
    return Fact(value.key, value.value, value.evidence.text, value.negated)


def _together(
    group: Sequence[tuple[Product, Attributes]],
    row: int,
    mentions: Sequence[str],
    brands: Sequence[str],
    say: Wording,
    rng: np.random.Generator,
) -> tuple[Told, ...]:
    """Reviews of products of the group, which are the candidates in an order that tells nothing.

    Now and then all reviews are of one product that is then taken from the candidates.
    """
    order = [int(at) for at in rng.permutation(len(group))]
    if len(group) >= 3 and rng.random() < _MISSING:
        subjects, order = [order[0]] * TOGETHER, order[1:]
    else:
        subjects = [order[int(at)] for at in rng.integers(len(order), size=TOGETHER)]
    products = tuple(group[at][0] for at in order)
    attributes = tuple(group[at][1] for at in order)
    made: list[Told] = []
    for number, at in enumerate(subjects):
        others = [one for one in order if one != at]
        subject = Subject(
            *group[at],
            [group[one][0] for one in others],
            [group[one][1] for one in others],
            _pick(rng, mentions),
            brands,
            mentions,
        )
        review, facts = tell(subject, TOGETHER * row + number + 1, say, rng)
        product = order.index(at) if at in order else None
        made.append(Told(review, facts, products, attributes, invented=True, product=product))
    return tuple(made)


@cache
def _vocabulary() -> str:
    """12 hex digits of the words and sentences that texts are made of."""
    content = json.dumps([words(), load_phrases()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


@lru_cache(maxsize=4)
def _shelf(seed: int, number: int) -> Shelf:
    return invent(seed + 1_000_003 * number, 1)[0]


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]

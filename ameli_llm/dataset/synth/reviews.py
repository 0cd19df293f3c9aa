"""Reviews in shoppers' words, with a record of what each one gives away about its product.

``Provenance`` is for tests and statistics; nothing of it reaches ``reviews.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import yaml

from ameli_llm.dataset.synth.catalogue import Attribute, Catalogue
from ameli_llm.dataset.synth.products import COLOUR, Item, generator, pick
from ameli_llm.dataset.synth.wording import bare, roughen, said, said_model, said_value

_HOLE = "\x00"  # stands for the mention until typing errors are in, so that the mention stays intact
Phrases = dict[str, Any]


@dataclass(frozen=True)
class Photo:
    """What a review's photo shows.

    ``kind`` is "clear", "dim" (light that hides the colour), "packaging" (a plain carton) or "label"
    (the type plate close up). ``model`` and ``brand`` say whether that print is in the picture.
    """

    kind: str
    brand: bool
    model: bool


@dataclass
class Provenance:
    """What a review says: true and denied values by axis, values that the whole family shares, names."""

    stated: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    denied: dict[str, str] = field(default_factory=dict)
    brand: bool = False
    line: bool = False
    model: bool = False
    passing: bool = False


@dataclass(frozen=True)
class Draft:
    """A review before its photos are drawn and its product has an id."""

    item: Item
    header: str
    body: str
    mention: str
    rating: int
    user: str
    votes: tuple[int, int]
    photos: tuple[Photo, ...]
    provenance: Provenance


def load_phrases() -> Phrases:
    """The packaged sentences of reviewers."""
    text = resources.files(__package__).joinpath("phrases.yaml").read_text(encoding="utf-8")
    phrases: Phrases = yaml.safe_load(text)
    return phrases


def write_review(
    item: Item, review_id: int, seed: int, difficulty: float, phrases: Phrases, catalogue: Catalogue
) -> Draft:
    """One review of a product, drawn from the generator of its id."""
    rng = generator(seed, "review", review_id)
    provenance = Provenance()
    rating = int(rng.choice([5, 4, 3, 2, 1], p=[0.58, 0.22, 0.08, 0.05, 0.07]))
    tone = "good" if rating > 2 else "bad"
    mention = _mention(item, rng, difficulty, provenance)
    sentences = _names(item, rng, difficulty, phrases, provenance)
    by_key = {a.key: a for a in item.family.category.attributes}
    for key in item.family.axes:
        sentences += _axis(item, by_key.get(key), rng, difficulty, phrases, provenance)
    sentences += _aside(item, rng, difficulty, phrases, provenance)
    sentences += _features(item, rng, difficulty)
    if rng.random() < 0.05 + 0.2 * difficulty:
        sentences.append(_passing(item, rng, phrases, catalogue))
        provenance.passing = True
    noise = int(rng.poisson(1 + 3 * difficulty))
    sentences += [str(s) for s in rng.permutation(phrases["noise"])[:noise]]
    order = [sentences[int(i)] for i in rng.permutation(len(sentences))]
    if rng.random() < 0.6:
        order.append(pick(rng, phrases["closers"][tone]))
    opener = pick(rng, phrases["openers"][tone]).format(it=_HOLE)
    body = _join([opener, *order], rng)
    header = pick(rng, phrases["headers"][tone]).format(it=_HOLE)
    typos = 0.01 + 0.04 * difficulty
    return Draft(
        item=item,
        header=roughen(header, rng, typos).replace(_HOLE, mention),
        body=roughen(body, rng, typos).replace(_HOLE, mention),
        mention=mention,
        rating=rating,
        user=f"{pick(rng, phrases['users'])}{pick(rng, phrases['users'])}{rng.integers(1, 99)}",
        votes=_votes(rng),
        photos=_photos(rng, difficulty),
        provenance=provenance,
    )


def _mention(item: Item, rng: np.random.Generator, difficulty: float, provenance: Provenance) -> str:
    """A product-type noun, sometimes with the brand or the line; never the title."""
    noun = pick(rng, item.family.category.mentions)
    draw = rng.random() + 0.3 * (difficulty - 0.5)
    if draw < 0.12:
        provenance.brand = True
        return f"{item.family.brand} {noun}"
    if draw < 0.24:
        provenance.line = True
        return f"{item.family.line.lower()} {noun}"
    return noun


def _names(
    item: Item, rng: np.random.Generator, difficulty: float, phrases: Phrases, provenance: Provenance
) -> list[str]:
    sentences = []
    if rng.random() < 0.5 - 0.4 * difficulty:
        provenance.brand = True
        sentences.append(pick(rng, phrases["named"]).format(x=item.family.brand))
    if rng.random() < 0.4 - 0.3 * difficulty:
        provenance.line = True
        name = item.family.line if rng.random() < 0.6 else item.family.line.lower()
        sentences.append(pick(rng, phrases["named"]).format(x=name))
    if rng.random() < 0.08 - 0.06 * difficulty:
        provenance.model = True
        sentences.append(pick(rng, phrases["numbered"]).format(x=said_model(item.variant.model, rng)))
    return sentences


def _axis(
    item: Item,
    axis: Attribute | None,
    rng: np.random.Generator,
    difficulty: float,
    phrases: Phrases,
    provenance: Provenance,
) -> list[str]:
    """What the review says on one axis (None: colour): nothing, its value, or a value it has not."""
    key = axis.key if axis else COLOUR
    says = rng.random() < (0.8 - 0.6 * difficulty if axis else 0.40 - 0.36 * difficulty)
    value = item.variant.value(key)
    others = [v for v in item.family.variants if v.value(key) != value]
    contrast = rng.random() < 0.1 + 0.2 * difficulty
    x = said(item.variant, axis, rng)
    if says and not (contrast and others):
        provenance.stated[key] = value
        frames = "coloured" if axis is None else "stated"
        if axis and axis.unit and rng.random() < 0.5:
            frames = "stated_amount"
        return [pick(rng, phrases[frames]).format(x=x)]
    if not contrast or not others or (not says and rng.random() < 0.7):
        return []
    other = pick(rng, others)
    provenance.denied[key] = other.value(key)
    y = said(other, axis, rng)
    if not says:
        return [pick(rng, phrases["denied"]).format(y=y)]
    provenance.stated[key] = value
    if axis and axis.unit and rng.random() < 0.4:
        y = bare(axis, other.values[axis.key])
    return [pick(rng, phrases["contrasted" if axis else "coloured_contrast"]).format(x=x, y=y)]


def _aside(
    item: Item, rng: np.random.Generator, difficulty: float, phrases: Phrases, provenance: Provenance
) -> list[str]:
    """A value that all variants of the family share: it tells families apart, not variants."""
    shared = [a for a in item.family.category.axes if a.key in item.family.fixed]
    if not shared or rng.random() > 0.6 - 0.5 * difficulty:
        return []
    attribute = pick(rng, shared)
    value = item.family.fixed[attribute.key]
    provenance.shared[attribute.key] = value
    frames = phrases["stated_amount" if attribute.unit else "stated"]
    return [pick(rng, frames).format(x=said_value(attribute, value, rng))]


def _features(item: Item, rng: np.random.Generator, difficulty: float) -> list[str]:
    count = int(rng.choice([0, 1, 2], p=[0.1 + 0.2 * difficulty, 0.5, 0.4 - 0.2 * difficulty]))
    chosen = [item.family.features[int(i)] for i in rng.permutation(len(item.family.features))[:count]]
    return [pick(rng, feature.shoppers) for feature in chosen]


def _passing(item: Item, rng: np.random.Generator, phrases: Phrases, catalogue: Catalogue) -> str:
    other = pick(rng, [b for b in catalogue.brands if b != item.family.brand])
    category = pick(rng, (item.family.category, pick(rng, catalogue.categories)))
    sentence: str = pick(rng, phrases["passing"])
    return sentence.format(
        brand=other,
        noun=pick(rng, category.mentions),
        colour=pick(rng, pick(rng, category.colours).words),
    )


def _join(sentences: list[str], rng: np.random.Generator) -> str:
    """Sentences run together with the punctuation of people who type on phones."""
    text = sentences[0]
    for sentence in sentences[1:]:
        joint = pick(rng, (". ", ". ", ". ", "! ", ", ", " and "))
        first = sentence.split()[0]
        if joint in (", ", " and ") and not first.isupper() and first != "I":
            sentence = sentence[0].lower() + sentence[1:]
        elif rng.random() < 0.8:
            sentence = sentence[0].upper() + sentence[1:]
        text += joint + sentence
    return text + pick(rng, (".", ".", "!", "", "..."))


def _votes(rng: np.random.Generator) -> tuple[int, int]:
    helpful = int(rng.poisson(1.2))
    return helpful, int(rng.poisson(0.3)) if helpful else 0


def _photos(rng: np.random.Generator, difficulty: float) -> tuple[Photo, ...]:
    """One to three photos; the first may hide the colour, some show the model number."""
    count = int(rng.choice([1, 2, 3], p=[0.62, 0.28, 0.10]))
    draw = rng.random()
    clear = 0.9 - 0.3 * difficulty
    kind = "clear" if draw < clear else ("dim" if draw < clear + 0.6 * (1 - clear) else "packaging")
    model = bool(rng.random() < 0.34 - 0.1 * difficulty)
    photos = [Photo(kind, bool(rng.random() < 0.6), model and (count == 1 or rng.random() < 0.5))]
    if model and not photos[0].model:
        photos.append(Photo("label", True, True))
    while len(photos) < count:
        photos.append(Photo(kind if kind != "packaging" else "clear", bool(rng.random() < 0.6), False))
    return tuple(photos)

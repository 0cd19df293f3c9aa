"""Families of variants: products of one line that differ in one to three attributes.

Everything is drawn from generators keyed by the seed and the family's number, so a family is the same
whatever else the twin holds.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from ameli_llm.dataset.synth.catalogue import (
    Attribute,
    Catalogue,
    Category,
    Colour,
    Feature,
    written,
)

COLOUR = "Color"
_MODEL_LETTERS = "ACDEFHJKLMNPRTUVWXY"
_PRIME = 9973

T = TypeVar("T")


def generator(seed: int, kind: str, *ids: int) -> np.random.Generator:
    """The random generator of one thing, independent of all others and of the order they are made in."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), *ids])


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One option, uniformly."""
    return options[int(rng.integers(len(options)))]


@dataclass(frozen=True)
class Variant:
    """One product of a family: its colour, its own values of the family's other axes, its model number."""

    colour: Colour
    values: dict[str, str]
    model: str

    def value(self, axis: str) -> str:
        """The variant's value of an axis, colour included."""
        return self.colour.name if axis == COLOUR else self.values[axis]


@dataclass(frozen=True)
class Family:
    """Products that share brand, line, features and every attribute but the axes.

    ``title_style`` is "plain", "series" (the model's digits in the name) or "specs" (axis values in the
    title). ``style`` are eight numbers in [0, 1) that shape the drawings. ``held_out`` variants are
    not in the KB.
    """

    index: int
    category: Category
    brand: str
    line: str
    features: tuple[Feature, ...]
    axes: tuple[str, ...]
    fixed: dict[str, str]
    dimensions: dict[str, str]
    warranty: tuple[str, str]
    title_style: str
    flat_page: bool
    style: tuple[float, ...]
    variants: tuple[Variant, ...]
    held_out: tuple[Variant, ...]


class Item(NamedTuple):
    """A product: the family and which of its variants."""

    family: Family
    variant: Variant


def families(catalogue: Catalogue, seed: int, difficulty: float, products: int) -> Iterator[Family]:
    """Family after family, without end; a small twin uses few categories so that families still compete."""
    active = min(len(catalogue.categories), max(3, round(products / 15)))
    order = generator(seed, "categories").permutation(len(catalogue.categories))[:active]
    for index in itertools.count():
        category = catalogue.categories[int(order[index % active])]
        yield _family(catalogue, category, seed, difficulty, index, index // active)


def _family(
    catalogue: Catalogue, category: Category, seed: int, difficulty: float, index: int, ordinal: int
) -> Family:
    rng = generator(seed, "family", index)
    brand, line = _names(catalogue, category, seed, ordinal)
    spec_axes, has_colour = _axes(category, rng)
    axes = (*(a.key for a in spec_axes), *((COLOUR,) if has_colour else ()))
    prefix = f"{line[0]}{category.noun[0]}{pick(rng, ('', '-', ''))}"
    variants = _variants(category, spec_axes, has_colour, difficulty, rng)
    numbered = [
        Variant(colour, values, f"{prefix}{_code(seed, index)}{letter}")
        for (colour, values), letter in zip(variants, rng.permutation(list(_MODEL_LETTERS)), strict=False)
    ]
    keep = len(numbered) - (1 if len(numbered) > 3 and rng.random() < 0.35 else 0)
    fixed = {
        a.key: pick(rng, a.values)
        for a in category.attributes
        if a.key not in axes and (a.axis or rng.random() > 0.1)
    }
    return Family(
        index=index,
        category=category,
        brand=brand,
        line=line,
        features=tuple(category.features[int(i)] for i in rng.permutation(len(category.features))[:3]),
        axes=axes,
        fixed=fixed,
        dimensions=_dimensions(category, spec_axes, rng),
        warranty=(pick(rng, catalogue.warranty), pick(rng, catalogue.warranty)),
        title_style="plain" if not spec_axes else pick(rng, ("series", "series", "specs")),
        flat_page=bool(rng.random() < 0.05),
        style=tuple(float(x) for x in rng.random(8)),
        variants=tuple(numbered[:keep]),
        held_out=tuple(numbered[keep:]),
    )


def _names(catalogue: Catalogue, category: Category, seed: int, ordinal: int) -> tuple[str, str]:
    """Brand and line, unique within the category; neighbours share the line ("Breeze", "Breeze Pro")."""
    key = zlib.crc32(category.name.encode())
    chosen = generator(seed, "brands", key).permutation(len(catalogue.brands))
    nth, number = divmod(ordinal, catalogue.brands_per_category)
    lines = generator(seed, "lines", key, number).permutation(len(catalogue.lines))
    turn, place = divmod(nth, 2 * len(lines))
    suffix = catalogue.suffixes[(2 * turn + place % 2) % len(catalogue.suffixes)]
    line = catalogue.lines[int(lines[place // 2])]
    return catalogue.brands[int(chosen[number])], f"{line} {suffix}".strip()


def _axes(category: Category, rng: np.random.Generator) -> tuple[list[Attribute], bool]:
    """What the variants differ in: colour alone (25 %), one or two other axes (35 %), or both (40 %)."""
    kind = rng.random()
    if kind < 0.25:
        return [], True
    has_colour = kind >= 0.60
    count = 1 if rng.random() < 0.5 else 2
    axes = [a for a in category.axes if has_colour or count > 1 or len(a.values) > 2]
    return [axes[int(i)] for i in sorted(rng.permutation(len(axes))[:count])], has_colour


def _variants(
    category: Category,
    spec_axes: list[Attribute],
    has_colour: bool,
    difficulty: float,
    rng: np.random.Generator,
) -> list[tuple[Colour, dict[str, str]]]:
    """Distinct combinations of axis values; more and nearer ones with rising difficulty."""
    wanted = int(rng.integers(3, 6)) + round(4 * difficulty)
    single = len(spec_axes) + has_colour == 1
    colours = _near_colours(category, difficulty, rng)
    count = min(len(colours), wanted if single else int(rng.integers(2, 4)))
    options: list[list[tuple[str, str]]] = []
    for axis in spec_axes:
        size = min(len(axis.values), wanted if single else int(rng.integers(2, 4)))
        start = int(rng.integers(len(axis.values) - size + 1))
        options.append([(axis.key, value) for value in axis.values[start : start + size]])
    grid = [
        (colour, dict(values))
        for colour in colours[: count if has_colour else 1]
        for values in itertools.product(*options)
    ]
    return [grid[int(i)] for i in rng.permutation(len(grid))[:wanted]]


def _near_colours(category: Category, difficulty: float, rng: np.random.Generator) -> list[Colour]:
    """The palette in a random order that, with rising difficulty, starts with colours near each other."""
    first = pick(rng, category.colours)

    def distance(colour: Colour) -> float:
        gap = np.linalg.norm(np.subtract(colour.rgb, first.rgb)) / 441.7
        return float(difficulty * gap + (1 - difficulty) * rng.random())

    ranked = sorted((distance(c), c.name, c) for c in category.colours if c is not first)
    return [first, *(c for _, _, c in ranked)]


def _dimensions(category: Category, spec_axes: list[Attribute], rng: np.random.Generator) -> dict[str, str]:
    low, high = category.size[::2], category.size[1::2]
    width, depth, height, weight = (rng.uniform(a, b) for a, b in zip(low, high, strict=True))
    rows = {
        "Product Height": f"{height:.1f} inches",
        "Product Width": f"{width:.1f} inches",
        "Product Depth": f"{depth:.1f} inches",
        "Product Weight": f"{weight:.1f} pounds",
    }
    if any(a.unit is not None and a.unit.name == "inches" for a in spec_axes):
        del rows["Product Width"]  # a size axis would contradict one width for all variants
    return rows


def _code(seed: int, index: int) -> str:
    """The digits of a family's model numbers: no two families share them."""
    turn, place = divmod(index, _PRIME)
    return f"{turn or ''}{(place * 4999 + 37 * (seed % _PRIME) + 1234) % _PRIME:04d}"


def short_value(attribute: Attribute, value: str) -> str:
    """A value as titles write it: "512GB SSD", "30\\"", "Liquid propane"."""
    if attribute.unit is None:
        return value
    number = written(attribute.numbers[attribute.values.index(value)])
    return f"{number}{attribute.unit.short} {attribute.tail}".strip()


def product_name(item: Item) -> str:
    """The middle part of the title, also the page's Product Name: line, perhaps series digits, noun."""
    family, variant = item
    series = ""
    if family.title_style == "series":
        series = variant.model[2:].lstrip("-")
    return " ".join(part for part in (family.line, series, family.category.noun) if part)


def title(item: Item) -> str:
    """The product's title, unique in the twin: "Brand - Name - Colour", axis values between for some."""
    family, variant = item
    specs: list[str] = []
    if family.title_style == "specs":
        specs = [short_value(a, variant.values[a.key]) for a in family.category.axes if a.key in family.axes]
    return " - ".join((family.brand, product_name(item), *specs, variant.colour.name))

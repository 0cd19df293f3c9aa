"""The tables that the twin is made of: invented brands and lines, colours, units, categories.

They live in ``catalogue.yaml`` beside this module and are read once per call of ``write_twin``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Colour:
    """A named finish; ``words`` are how shoppers call it, ``basic`` is the shop's colour category."""

    name: str
    rgb: RGB
    basic: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Unit:
    """A unit of measure: the shop's name, the short form of titles, and shoppers' forms.

    ``larger`` is the factor of the larger unit that shoppers may change to (12 inches, 1000 gigabytes);
    0 when there is none.
    """

    name: str
    short: str
    forms: tuple[str, ...]
    larger: int = 0
    larger_forms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attribute:
    """A row of the specification table and the values it can take, as the shop writes them.

    ``axis`` attributes may differ between the variants of a family. ``numbers`` is empty for values
    without a unit.
    """

    key: str
    section: str
    values: tuple[str, ...]
    numbers: tuple[float, ...]
    unit: Unit | None
    axis: bool
    tail: str
    say: tuple[str, ...]
    words: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Feature:
    """A selling point: the page's header and sentence, and how reviews speak of it."""

    header: str
    text: str
    shoppers: tuple[str, ...]


@dataclass(frozen=True)
class Category:
    """A leaf category with its own attributes; ``size`` bounds width, depth, height and weight."""

    name: str
    path: tuple[str, ...]
    noun: str
    mentions: tuple[str, ...]
    colours: tuple[Colour, ...]
    size: tuple[float, ...]
    attributes: tuple[Attribute, ...]
    features: tuple[Feature, ...]

    @property
    def axes(self) -> tuple[Attribute, ...]:
        """Attributes in which variants may differ, colour aside."""
        return tuple(a for a in self.attributes if a.axis)


@dataclass(frozen=True)
class Catalogue:
    """Everything in ``catalogue.yaml``."""

    brands: tuple[str, ...]
    brands_per_category: int
    lines: tuple[str, ...]
    suffixes: tuple[str, ...]
    warranty: tuple[str, ...]
    categories: tuple[Category, ...]


def load_catalogue() -> Catalogue:
    """The packaged tables; KeyError or ValueError when an edit of them broke a cross-reference."""
    text = resources.files(__package__).joinpath("catalogue.yaml").read_text(encoding="utf-8")
    raw: dict[str, Any] = yaml.safe_load(text)
    colours = {
        c["name"]: Colour(c["name"], tuple(c["rgb"]), c["category"], tuple(c["words"]))
        for c in raw["colours"]
    }
    units = {
        name: Unit(
            name,
            u["short"],
            tuple(u["forms"]),
            u.get("larger", 0),
            tuple(u.get("larger_forms", ())),
        )
        for name, u in raw["units"].items()
    }
    return Catalogue(
        brands=tuple(raw["brands"]),
        brands_per_category=raw["brands_per_category"],
        lines=tuple(raw["lines"]),
        suffixes=tuple(raw["suffixes"]),
        warranty=tuple(raw["warranty"]),
        categories=tuple(_category(c, colours, units) for c in raw["categories"]),
    )


def written(number: float) -> str:
    """A number as shops print it: 15.6, 14, 1000."""
    return f"{number:g}"


def _category(raw: dict[str, Any], colours: dict[str, Colour], units: dict[str, Unit]) -> Category:
    sections = {"Key Specs": raw["key_specs"], **raw["more"]}
    return Category(
        name=raw["name"],
        path=("Best Buy", *raw["path"]),
        noun=raw["noun"],
        mentions=tuple(raw["mentions"]),
        colours=tuple(colours[name] for name in raw["colours"]),
        size=tuple(raw["size"]),
        attributes=tuple(_attribute(a, section, units) for section, rows in sections.items() for a in rows),
        features=tuple(Feature(header, text, tuple(said)) for header, text, said in raw["features"]),
    )


def _attribute(raw: dict[str, Any], section: str, units: dict[str, Unit]) -> Attribute:
    unit = units[raw["unit"]] if "unit" in raw else None
    values = raw["values"]
    return Attribute(
        key=raw["key"],
        section=section,
        values=tuple(_measured(v, unit) if unit else str(v) for v in values),
        numbers=tuple(float(v) for v in values) if unit else (),
        unit=unit,
        axis=raw.get("axis", False),
        tail=raw.get("tail", ""),
        say=tuple(raw.get("say", ("{}",))),
        words={value: tuple(words) for value, words in raw.get("words", {}).items()},
    )


def _measured(number: float, unit: Unit) -> str:
    return f"{written(number)} {unit.name.removesuffix('s') if number == 1 else unit.name}"

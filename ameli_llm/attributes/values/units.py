"""Unit aliases, and conversion to the base unit of each dimension."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import yaml

from ameli_llm.attributes.values.tokens import tokens

SMALLEST, LARGEST = 1e-9, 9e14
"""Magnitudes outside are no quantity of a product."""

_COMPACT = str.maketrans("", "", " .-\t\n")


@dataclass(frozen=True, slots=True)
class Unit:
    """One of it is ``size`` in the base unit of its dimension, and its zero is there ``zero``."""

    name: str
    dimension: str
    size: float
    zero: float


@dataclass(frozen=True)
class Units:
    """The unit table. ``letters`` are aliases that are also ordinary letters (w, v, a, m, g, l).

    ``compact`` holds both without spaces.
    """

    aliases: Mapping[str, Unit]
    letters: Mapping[str, Unit]
    compact: Mapping[str, Unit]
    printed: Mapping[str, str]
    implied: tuple[tuple[frozenset[str], Unit], ...]

    def get(self, alias: str) -> Unit | None:
        """The unit that a text calls ``alias``: "GB", "fl. oz.", "Inches"."""
        return self.compact.get(alias.casefold().translate(_COMPACT))

    def implied_by(self, key: str) -> Unit | None:
        """The unit of bare numbers under a key ("Screen Size": inch), None when it implies none."""
        return _implied(key)


@cache
def load_table(name: str) -> dict[str, Any]:
    """A YAML table of this package; every scalar is a string, "yes" and "on" included."""
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    return table


@cache
def units() -> Units:
    """The table in units.yaml."""
    table = load_table("units.yaml")
    aliases: dict[str, Unit] = {}
    letters: dict[str, Unit] = {}
    names: dict[str, Unit] = {}
    printed: dict[str, str] = {}
    sizes = {name: tuple(map(float, numbers)) for name, numbers in table["conversions"].items()}
    for dimension, entry in table["dimensions"].items():
        printed[dimension] = entry["units"][entry["base"]][0]
        for name, forms in entry["units"].items():
            size, *zero = (1.0,) if name == entry["base"] else sizes[name]
            names[name] = Unit(name, dimension, size, *(zero or [0.0]))
            aliases.update(dict.fromkeys(forms, names[name]))
        letters.update({letter: names[name] for letter, name in entry.get("letters", {}).items()})
    implied = tuple((_words(row["key"]), names[row["unit"]]) for row in table["implied"])
    compact = {alias.translate(_COMPACT): unit for alias, unit in (letters | aliases).items()}
    return Units(aliases, letters, compact, printed, implied)


@lru_cache(maxsize=4096)
def convert(value: float, unit: Unit) -> float | None:
    """``value`` in the base unit, rounded to 3 significant digits; None outside of any product's range.

    Three digits make 39.6 cm and 15.6 inches the same value.
    """
    base = value * unit.size + unit.zero
    if not SMALLEST <= abs(base) <= LARGEST:
        return 0.0 if base == 0 else None
    return float(f"{base:.3g}")


@lru_cache(maxsize=4096)
def _implied(key: str) -> Unit | None:
    words = _words(key)
    return next((unit for needed, unit in units().implied if needed <= words), None)


def _words(text: str) -> frozenset[str]:
    return frozenset(token.text for token in tokens(text))


@cache
def unit_pattern(*, free_text: bool) -> re.Pattern[str]:
    """Matches a unit right behind a number.

    In free text a single letter must touch the number or be a capital, "in" must not start a phrase
    ("15 in the box") and ' must stand before a number (5'10"). In a value, which is nothing but the
    quantity, all of them count.
    """
    table = units()
    words = [alias for alias in table.aliases if alias[-1].isalnum() and alias != "in"]
    symbols = [alias for alias in table.aliases if not alias[-1].isalnum() and alias != "'"]
    word_forms = "|".join(_alias_pattern(alias) for alias in sorted(words, key=len, reverse=True))
    symbol_forms = "|".join(re.escape(alias) for alias in sorted(symbols, key=len, reverse=True))
    letters = "".join(table.letters)
    ends = r"(?![^\W_])"
    forms = [rf"[\s-]{{0,2}}(?:{word_forms})\.?{ends}", rf"\s?(?:{symbol_forms})"]
    if free_text:
        forms += [
            r"(?<=\d)-?in\b\.?(?!\s*-?\d\s*-?\s*1\b)",
            r"\s?in\.(?=\s|$)",
            rf"\sin(?=\s*(?:$|[^\s\w.]|x\s|(?:{_SIZE_WORDS})\b))",
            rf"(?<=\d)[{letters}]{ends}(?!\s*x\s*\d)",
            rf"\s(?-i:[{letters.upper()}]){ends}(?!\s*x\s*\d)",
            r"'(?=\s?\d|\s*x\s)",
        ]
    else:
        forms += [rf"[\s-]?(?:in\.?|[{letters}]){ends}", r"\s?'"]
    return re.compile("|".join(forms), re.IGNORECASE)


_SIZE_WORDS = "screen|display|monitor|laptop|tv|television|tablet|wide|long|tall|deep|high|thick|diameter"


def _alias_pattern(alias: str) -> str:
    return r"\.?[\s-]?".join(re.escape(part) for part in alias.split())

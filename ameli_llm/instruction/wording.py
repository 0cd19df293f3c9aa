"""How shoppers write a value of a specification: lower case, units run together, small numbers in words."""

from __future__ import annotations

import re
from typing import Protocol

import numpy as np

from ameli_llm.attributes.values.numerals import WRITTEN_OUT

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)[\s-]*([^\d\s].{0,14})")
_IN_WORDS = 0.15
_AS_WRITTEN = 0.25


class Wording(Protocol):
    """Puts a raw value of a key into a shopper's words."""

    def __call__(self, key: str, value: str, rng: np.random.Generator) -> str:
        """The words; the same value may come out differently."""


def said(key: str, value: str, rng: np.random.Generator) -> str:
    """Words for any value: amounts with the unit close, apart or hyphened, the rest mostly in lower case."""
    amount = _AMOUNT.fullmatch(value)
    if amount is None:
        return value if rng.random() < _AS_WRITTEN else value.lower()
    number, unit = amount.groups()
    if rng.random() < 0.5:
        unit = unit.lower()
    joint = ("", " ", "-")[int(rng.integers(3))]
    return f"{in_words(number, rng) if joint == ' ' else number}{joint}{unit}"


def in_words(number: str, rng: np.random.Generator) -> str:
    """A whole number up to ten, sometimes in letters."""
    whole = number.isdigit() and int(number) < len(WRITTEN_OUT)
    return WRITTEN_OUT[int(number)] if whole and rng.random() < _IN_WORDS else number

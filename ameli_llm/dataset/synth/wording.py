"""Shoppers' words: how reviews put an attribute value, a colour or a model number, and how they misspell."""

from __future__ import annotations

import re

import numpy as np

from ameli_llm.attributes.values.numerals import WRITTEN_OUT
from ameli_llm.dataset.synth.catalogue import Attribute, Unit, written
from ameli_llm.dataset.synth.products import Variant, pick

_SLANG = {
    "you": "u",
    "though": "tho",
    "because": "bc",
    "going to": "gonna",
    "definitely": "def",
    "really": "rly",
    "with": "w/",
    "love": "luv",
    "please": "pls",
    "are": "r",
    "thanks": "thx",
}


def said(variant: Variant, axis: Attribute | None, rng: np.random.Generator) -> str:
    """A variant's value of an axis (None: its colour) as shoppers write it: "1tb ssd", "gray-toned pink"."""
    if axis is None:
        return pick(rng, variant.colour.words)
    return said_value(axis, variant.values[axis.key], rng)


def said_value(attribute: Attribute, value: str, rng: np.random.Generator) -> str:
    """A value of the specification table in shoppers' words, units abbreviated or changed."""
    if attribute.unit is None:
        return pick(rng, attribute.words.get(value, (value.lower(),)))
    number = attribute.numbers[attribute.values.index(value)]
    return pick(rng, attribute.say).format(_quantity(number, attribute.unit, rng))


def bare(attribute: Attribute, value: str) -> str:
    """The number alone, as in "I wanted the 512"; "" for values in words."""
    return written(attribute.numbers[attribute.values.index(value)]) if attribute.unit else ""


def _quantity(number: float, unit: Unit, rng: np.random.Generator) -> str:
    larger = number / unit.larger if unit.larger else 0.0
    changeable = larger >= 1 and larger == round(2 * larger) / 2
    if changeable and rng.random() < (0.9 if unit.larger >= 1000 else 0.2):
        forms = unit.larger_forms
        if larger != round(larger):
            forms = tuple(form for form in forms if "," not in form)
        return pick(rng, forms).format(written(larger))
    if number == round(number) and number < len(WRITTEN_OUT) and rng.random() < 0.3:
        return pick(rng, [form for form in unit.forms if " " in form] or unit.forms).format(
            WRITTEN_OUT[int(number)]
        )
    return pick(rng, unit.forms).format(written(number))


def said_model(model: str, rng: np.random.Generator) -> str:
    """A model number as people copy it: lower case, with or without the hyphen."""
    return pick(rng, (model, model.lower(), model.replace("-", ""), model.replace("-", " ").lower()))


def roughen(text: str, rng: np.random.Generator, typos: float) -> str:
    """The text with typing errors in a share of its longer words, and with some writers' habits.

    Words with digits, and those behind a number, stay as they are.
    """
    text = re.sub(
        r"(?<!\d )\b[A-Za-z]{4,}\b", lambda m: _misspell(m[0], rng) if rng.random() < typos else m[0], text
    )
    habit = rng.random()
    if habit < 0.10:
        for word, slang in _SLANG.items():
            text = re.sub(rf"\b{word}\b", slang, text)
    elif habit < 0.25:
        text = text.lower()
    elif habit < 0.32:
        text = re.sub(r"[.!] ", " ", text)
    elif habit < 0.38:
        text = text.replace(". ", "!! ")
    return text


def _misspell(word: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(1, len(word) - 1))
    kind = int(rng.integers(4))
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + pick(rng, "aeiourstn") + word[at + 1 :]

"""Invented knowledge bases: products of families that differ in a few attributes, as in a shop.

Their brands, nouns, keys and values (``world.yaml``) occur in no synthetic twin, so that a model that was
trained on them has seen no word that decides a twin's reviews. No two worlds of different seeds are alike:
categories take other attributes under other names, and part of the values is made of syllables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.instruction.wording import in_words, said
from ameli_llm.types import Attributes, Product, SpecRow

_FAMILIES = (4, 9)
_VARIANTS = (4, 14)
_VALUES = (3, 8)
_ATTRIBUTES = (5, 17)
_AXES = (2, 4)
_INVENTED = 0.3
"""Share of the word attributes whose values are made of syllables."""

_CODED = 0.3
"""Chance of a category to have an attribute whose values are a name and a code."""

_TWINS = 0.25
"""Share of the measures that stand beside another one of the same unit."""

_OTHERWISE, _LARGER = 0.6, 0.5
"""How often a value in words is put otherwise, and an amount in a larger unit, where that can be."""

_EASY = frozenset(f"{n / 10:g}" for n in range(1, 100)) | {
    "0.25",
    "0.75",
    "1.25",
    "1.75",
    "10",
    "12",
    "15",
    "20",
}
"""Amounts that people convert in their heads."""


@dataclass(frozen=True)
class Shelf:
    """Products of one category with their attributes, and how shoppers call and describe them.

    ``measures``: the content of ``world.yaml`` about the keys whose values are amounts.
    """

    mentions: tuple[str, ...]
    products: tuple[Product, ...]
    attributes: tuple[Attributes, ...]
    measures: Mapping[str, Mapping[str, Any]]
    brand_names: tuple[str, ...]

    def say(self, key: str, value: str, rng: np.random.Generator) -> str:
        """A value in shoppers' words: other words, a code alone, amounts in forms of near and far units."""
        measure = self.measures.get(key)
        if measure is None:
            others = _words()["aliases"].get(value) or _shortened(value)
            return _pick(rng, others) if others and rng.random() < _OTHERWISE else said(key, value, rng)
        number = next(word for word in value.replace("-", " -").replace("W ", " ").split() if _number(word))
        forms, larger = measure["said"], measure.get("larger")
        if larger and rng.random() < _LARGER and (amount := f"{float(number) / larger['by']:.4g}") in _EASY:
            return str(_pick(rng, larger["said"]).format(amount))
        form = _pick(rng, forms)
        return str(form.format(in_words(number, rng) if " " in form else number))


@dataclass(frozen=True)
class _Attribute:
    key: str
    values: tuple[str, ...]
    measure: Mapping[str, Any] | None = None


def invent(seed: int, shelves: int) -> list[Shelf]:
    """``shelves`` categories of products, each other than all others; ids are unique among them."""
    made: list[Shelf] = []
    first = 1
    for number in range(shelves):
        shelf = _shelf(np.random.default_rng((seed, number)), first)
        first += len(shelf.products)
        made.append(shelf)
    return made


def words() -> dict[str, Any]:
    """The content of ``world.yaml``."""
    text = resources.files(__package__).joinpath("world.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


_words = cache(words)


def _shelf(rng: np.random.Generator, first: int) -> Shelf:
    noun, mentions = _pick(rng, _words()["nouns"])
    chosen = _attributes(rng)
    brands = tuple(_name(rng) for _ in range(int(rng.integers(2, 6))))
    products: list[Product] = []
    for _ in range(int(rng.integers(*_FAMILIES))):
        products += _family(rng, first + len(products), noun, brands, chosen)
    attributes = tuple(attribute_dictionary(product) for product in products)
    measures = {one.key: one.measure for one in chosen if one.measure}
    return Shelf(tuple(mentions), tuple(products), attributes, measures, brands)


def _attributes(rng: np.random.Generator) -> list[_Attribute]:
    pools = [*_words()["words"], *_words()["measures"]]
    count = int(rng.integers(*_ATTRIBUTES))
    chosen = [pools[int(at)] for at in rng.permutation(len(pools))[:count]]
    chosen += [pool for pool in chosen if "numbers" in pool and rng.random() < _TWINS]
    made = [_attribute(rng, pool) for pool in chosen]
    made += [_coded(rng)] if rng.random() < _CODED else []
    return list({attribute.key: attribute for attribute in made}.values())


def _attribute(rng: np.random.Generator, pool: Mapping[str, Any]) -> _Attribute:
    key = _pick(rng, pool["keys"])
    count = int(rng.integers(*_VALUES))
    if "numbers" in pool:
        values = [pool["form"].format(n) for n in _some(rng, pool["numbers"], count)]
        return _Attribute(key, tuple(values), pool)
    if rng.random() < _INVENTED:
        return _Attribute(key, tuple(dict.fromkeys(_name(rng) for _ in range(count))))
    return _Attribute(key, tuple(_some(rng, pool["values"], count)))


def _coded(rng: np.random.Generator) -> _Attribute:
    """Values of one name, or of two, with codes of a letter and a number: "Bramo K3", "Bramo K5"."""
    pool = _words()["coded"]
    letter = _pick(rng, pool["letters"])
    names = [_name(rng) for _ in range(int(rng.integers(1, 3)))]
    values = {
        f"{_pick(rng, names)} {letter}{int(rng.integers(1, 100))}" for _ in range(int(rng.integers(*_VALUES)))
    }
    return _Attribute(_pick(rng, pool["keys"]), tuple(sorted(values)))


def _shortened(value: str) -> list[str]:
    """The code of a value that is a name and a code, alone and behind the name."""
    name, _, code = value.rpartition(" ")
    if not name or not (code[0].isalpha() and code[1:].isdigit()):
        return []
    return [code, code.lower(), f"{name.lower()} {code.lower()}", f"{code[0].lower()}-{code[1:]}"]


def _family(
    rng: np.random.Generator, first: int, noun: str, brands: Sequence[str], chosen: Sequence[_Attribute]
) -> list[Product]:
    """Variants that differ in some axes and share everything else."""
    order = [chosen[int(at)] for at in rng.permutation(len(chosen))]
    axes = order[: int(rng.integers(_AXES[0], min(_AXES[1], len(order)) + 1))]
    brand, line = _pick(rng, brands), _name(rng)
    fixed = {attribute.key: _pick(rng, attribute.values) for attribute in order}
    made: dict[tuple[str, ...], Product] = {}
    for _ in range(int(rng.integers(*_VARIANTS))):
        values = fixed | {axis.key: _pick(rng, axis.values) for axis in axes}
        identity = tuple(values.values())
        if identity not in made:
            made[identity] = _product(first + len(made), brand, line, noun, axes, values)
    return list(made.values())


def _product(
    id_: int, brand: str, line: str, noun: str, axes: Sequence[_Attribute], values: Mapping[str, str]
) -> Product:
    told = ", ".join(values[axis.key] for axis in axes if not axis.measure)
    name = f"{brand} {line} {noun}" + (f", {told}" if told else "")
    spec = (SpecRow("All", "Maker", brand), *(SpecRow("All", key, value) for key, value in values.items()))
    return Product(id_, name, (noun,), spec=spec)


def _name(rng: np.random.Generator) -> str:
    syllables = _some(rng, _words()["syllables"], int(rng.integers(2, 4)))
    ending: str = _pick(rng, _words()["endings"])
    return ("".join(syllables) + ending).capitalize()


def _number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).isdigit()


def _pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]


def _some(rng: np.random.Generator, options: Sequence[Any], count: int) -> list[Any]:
    return [options[int(at)] for at in rng.permutation(len(options))[:count]]

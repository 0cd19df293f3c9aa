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
_ATTRIBUTES = (4, 12)
_AXES = (2, 4)
_INVENTED = 0.3
"""Share of the word attributes whose values are made of syllables."""

_TWINS = 0.25
"""Share of the measures that stand beside another one of the same unit."""


@dataclass(frozen=True)
class Shelf:
    """Products of one category with their attributes, and how shoppers call and describe them."""

    mentions: tuple[str, ...]
    products: tuple[Product, ...]
    attributes: tuple[Attributes, ...]
    forms: Mapping[str, tuple[str, ...]]
    brand_names: tuple[str, ...]

    def say(self, key: str, value: str, rng: np.random.Generator) -> str:
        """A value in shoppers' words; amounts in the forms of their unit."""
        forms = self.forms.get(key)
        if forms is None:
            return said(key, value, rng)
        number = next(word for word in value.replace("-", " -").replace("W ", " ").split() if _number(word))
        form = forms[int(rng.integers(len(forms)))]
        return form.format(in_words(number, rng) if " " in form else number)


@dataclass(frozen=True)
class _Attribute:
    key: str
    values: tuple[str, ...]
    forms: tuple[str, ...] = ()


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
    forms = {attribute.key: attribute.forms for attribute in chosen if attribute.forms}
    return Shelf(tuple(mentions), tuple(products), attributes, forms, brands)


def _attributes(rng: np.random.Generator) -> list[_Attribute]:
    pools = [*_words()["words"], *_words()["measures"]]
    count = int(rng.integers(*_ATTRIBUTES))
    chosen = [pools[int(at)] for at in rng.permutation(len(pools))[:count]]
    chosen += [pool for pool in chosen if "numbers" in pool and rng.random() < _TWINS]
    made = [_attribute(rng, pool) for pool in chosen]
    return list({attribute.key: attribute for attribute in made}.values())


def _attribute(rng: np.random.Generator, pool: Mapping[str, Any]) -> _Attribute:
    key = _pick(rng, pool["keys"])
    count = int(rng.integers(*_VALUES))
    if "numbers" in pool:
        values = [pool["form"].format(n) for n in _some(rng, pool["numbers"], count)]
        return _Attribute(key, tuple(values), tuple(pool["said"]))
    if rng.random() < _INVENTED:
        return _Attribute(key, tuple(dict.fromkeys(_name(rng) for _ in range(count))))
    return _Attribute(key, tuple(_some(rng, pool["values"], count)))


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
    told = ", ".join(values[axis.key] for axis in axes if not axis.forms)
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

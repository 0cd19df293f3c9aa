"""The attributes of a product, by key, as its page writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from ameli_llm.ids import EntityId
from ameli_llm.types import Attributes, Product

_KEPT = 10_000

_SECTIONS = frozenset({"Key Specs", "General", "All"})
_UNINFORMATIVE = frozenset({"", "yes", "no", "other", "none"})
_TITLE_KEYS = ("Brand", "Product Name", "Color")

_MODEL_VERSION = re.compile(
    r"""(?<=\s)                                                     # never the first word of a title
    (?! (?: ps[345] | playstation\ \d+ | v[1-8]                     # consoles and counters are no models
          | (?: and|at|by|for|from|in|of|on|or|the|to|up|with ) \ \d+ ) \b )
    (?: [a-z]+ (?: -[a-z]* )? \d [a-z0-9]* | [a-z]{2,} \ \d+ )     # XPS13, WH-1000XM4, Breeze 300
    (?! [\w-] | \.\d )                                             # but not the "USB 3" of "USB 3.0"
    """,
    re.IGNORECASE | re.VERBOSE,
)


def attribute_dictionary(product: Product) -> dict[str, tuple[str, ...]]:
    """Attribute keys and raw values of a product, keys in the order of its page, then those of the title.

    Rows come from the sections Key Specs, General and All; from every section when these give nothing. A key
    that occurs twice has both values. Values that tell nothing apart by themselves are dropped: empty, yes,
    no, other, none, in any case. Single letters and plain numbers stay (size "M", 4 burners).

    A title of exactly three parts joined by " - " gives Brand, Product Name and Color when the page does
    not. "Model Version" holds what looks like a model in the title: letters and digits in one word
    ("WH-1000XM4") or a word before a number ("Breeze 300"). It misses a model at the start of the title and
    models that begin with a digit, and takes "Pack 2" and "DDR3" for some.
    """
    main = [row for row in product.spec if row.section in _SECTIONS and _informative(row.value)]
    rows = main or [row for row in product.spec if _informative(row.value)]
    found: dict[str, list[str]] = {}
    for row in rows:
        values = found.setdefault(row.key, [])
        if row.value not in values:
            values.append(row.value)
    parts = [part.strip() for part in product.name.split(" - ")]
    if len(parts) == len(_TITLE_KEYS):
        for key, part in zip(_TITLE_KEYS, parts, strict=True):
            if _informative(part):
                found.setdefault(key, [part])
    versions = list(dict.fromkeys(_MODEL_VERSION.findall(product.name)))
    if versions:
        found.setdefault("Model Version", versions)
    return {key: tuple(values) for key, values in found.items()}


class ProductAttributes(Mapping[EntityId, Attributes]):
    """The ``attribute_dictionary`` of each product by its id, made when it is asked for.

    All of them would take as much memory as the products; the last ones are kept. Threads may share it.
    """

    def __init__(self, products: Mapping[EntityId, Product]) -> None:
        self._products = products
        self._made = lru_cache(_KEPT)(lambda id_: attribute_dictionary(products[id_]))

    def __getitem__(self, id_: EntityId) -> Attributes:
        return self._made(id_)

    def __iter__(self) -> Iterator[EntityId]:
        return iter(self._products)

    def __len__(self) -> int:
        return len(self._products)


def _informative(value: str) -> bool:
    return value.strip().lower() not in _UNINFORMATIVE

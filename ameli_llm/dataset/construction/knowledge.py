"""The products that a build has kept: looked up by id and by name, read from its store when needed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.dataset.records import ProductRecord, parse
from ameli_llm.types import Product

HELD = 4096
"""Products that are held in memory."""


def plain_name(name: str) -> str:
    """A product's name as names are compared: in any case, with any spaces."""
    return " ".join(name.casefold().split())


class KnowledgeBase:
    """Products by row, the number of their place among all raw products."""

    def __init__(self, store: BuildStore) -> None:
        self._store = store
        self._held: OrderedDict[int, Product] = OrderedDict()

    def row(self, id_: Any) -> int | None:
        """The row of the product with an id of this text; None when it is not there, or was dropped."""
        found = self._store.product_row(str(id_))
        return found[0] if found and found[1] else None

    def was_dropped(self, id_: Any) -> bool:
        """Whether there was a product of this id, which a rule has dropped."""
        found = self._store.product_row(str(id_))
        return found is not None and not found[1]

    def named(self, name: str) -> list[int]:
        """The rows of the products with a ``plain_name``."""
        return self._store.products_named(name)

    def product(self, row: int) -> Product:
        """The product at a row."""
        product = self._held.get(row)
        if product is None:
            product = parse(ProductRecord, self._store.product(row)[1]).product()
            self._held[row] = product
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(row)
        return product

    def table(self, row: int) -> int:
        """The number of the table that a product stands in."""
        return self._store.product(row)[0]

    def categories(self) -> list[str]:
        """The leaf categories of all products, each once, in alphabetical order."""
        leaves = (self.product(row).leaf_category for row in self._store.product_rows())
        return sorted({leaf for leaf in leaves if leaf})

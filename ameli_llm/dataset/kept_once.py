"""Parts that many products have in common are held in memory once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import TypeVar

from ameli_llm.types import Product

T = TypeVar("T", bound=Hashable)


class KeptOnce:
    """Gives products the category and the lines of the specification that an earlier one has, if equal.

    Those are most of a product of a shop: "Color: Red" is one object then, however often it is said.
    """

    def __init__(self) -> None:
        self._held: dict[Hashable, Hashable] = {}

    def __call__(self, product: Product) -> Product:
        """An equal product."""
        spec = tuple(map(self._first, product.spec))
        return replace(product, category=self._first(product.category), spec=spec)

    def _first(self, part: T) -> T:
        return self._held.setdefault(part, part)  # type: ignore[return-value]  # equal, so of its type

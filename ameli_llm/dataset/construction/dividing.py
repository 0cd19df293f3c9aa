"""Train, dev and test of a build: no product and no near-duplicate review is in two of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ameli_llm.dataset.construction.duplicates import Groups
from ameli_llm.dataset.construction.settings import Split
from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.dataset.splitting import NAMES, divide


@dataclass(frozen=True)
class Division:
    """The split of each product that has reviews, by its row; ``reviews`` by split; sizes of the groups."""

    split_of: dict[int, str]
    reviews: dict[str, int]
    products: dict[str, int]
    groups: int
    joined: int
    largest: int

    def content(self) -> dict[str, Any]:
        """The counts, without the products."""
        return {
            "reviews": self.reviews,
            "gold_products": self.products,
            "groups": self.groups,
            "products_joined": self.joined,
            "largest_group": self.largest,
        }


def divide_products(store: BuildStore, settings: Split, seed: int) -> Division:
    """Divides the products by the ratios, counted in reviews, as near as whole groups allow.

    Groups come in the order of a hash of ``seed`` and the first product of each.
    """
    groups = Groups()
    edges = store.joined()
    for one, other in edges:
        groups.join(one, other)
    counts = store.reviews_by_product()
    sizes: Counter[int] = Counter()
    for product, number in counts.items():
        sizes[groups.of(product)] += number
    order = sorted(sizes, key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())
    places = divide([sizes[group] for group in order], settings.ratios)
    split_of_group = {group: NAMES[place] for group, place in zip(order, places, strict=True)}
    split_of = {product: split_of_group[groups.of(product)] for product in counts}
    reviews, products = Counter[str](), Counter(split_of.values())
    for product, number in counts.items():
        reviews[split_of[product]] += number
    return Division(
        split_of=split_of,
        reviews={name: reviews[name] for name in NAMES},
        products={name: products[name] for name in NAMES},
        groups=len(sizes),
        joined=len(counts) - len(sizes),
        largest=max(sizes.values(), default=0),
    )

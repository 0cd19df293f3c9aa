"""What a text model reads as the attributes that a review states: those extracted or, a leak, gold's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.types import AttributeValue, Evidence, Product
from eval.baselines.amelink.settings import AmelinkSettings
from eval.baselines.baseline import Example
from eval.baselines.material import Material

MOST = 10
FIRST = ("Brand", "Color")
LEFT_OUT = ("Product Name", "Model Number")


def as_read(examples: Sequence[Example], material: Material, settings: AmelinkSettings) -> Sequence[Example]:
    """The examples as text models read them in training and in the choices on dev.

    With ``stated`` "gold" the values that were extracted from a review give way to those of its gold product.
    Tasks to be scored for a report never come here, nor does the mismatch filter: officially it reads what
    was extracted (predicted_attribute), and gold's attributes leave it no candidate but gold.
    """
    if settings.stated == "extracted":
        return examples
    products = material.dataset.products
    return [
        replace(one, task=replace(one.task, extracted=gold_attributes(products[one.gold])))
        for one in examples
    ]


def gold_attributes(product: Product) -> tuple[AttributeValue, ...]:
    """Up to ten attributes of the product's page: Brand and Color, then the others in the page's order.

    Official: choose_key_k_attributes in attribute/fuse_attribute_for_disambiguation.py. Its title gives none,
    and of several values of a key the last one stands. Which values tell something is decided as everywhere
    in this project (``attribute_dictionary``). No evidence: the review need not state any of them.
    """
    page = attribute_dictionary(replace(product, name=""))
    others = (key for key in page if key not in FIRST + LEFT_OUT)
    keys = [*(key for key in FIRST if key in page), *others][:MOST]
    return tuple(AttributeValue(key, page[key][-1], "gold", Evidence("", 0, 0, "")) for key in keys)

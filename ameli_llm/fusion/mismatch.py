"""The attribute-mismatch filter: a candidate that contradicts what the review says does not come first."""

from __future__ import annotations

from collections.abc import Iterable

from ameli_llm.attributes.values.normalise import NormalisedValue, normalise_all
from ameli_llm.types import Attributes, AttributeValue


def has_mismatch(extracted: Iterable[AttributeValue], attributes: Attributes) -> bool:
    """Whether the product has an attribute whose values are all other than those that the review states.

    Paper, section 4.4; what counts as a mismatch in rule m1 of the official AMELI code.
    Values are equal when their normalised forms are. A key that the product lacks is no mismatch, nor is
    one whose values tell nothing ("Other"). Of several values that the review states for a key one is
    enough. A negated value is a mismatch when the product has no other value for that key.
    """
    stated: dict[str, set[NormalisedValue]] = {}
    denied: dict[str, set[NormalisedValue]] = {}
    for value in extracted:
        if meant := normalise_all(value.key, (value.value,)):
            side = denied if value.negated else stated
            side.setdefault(value.key, set()).update(meant)
    for key in stated.keys() | denied.keys():
        held = set(normalise_all(key, attributes.get(key, ())))
        if not held:
            continue
        if key in stated and not held & stated[key]:
            return True
        if held <= denied.get(key, set()):
            return True
    return False

"""The attributes in which candidates differ, those that tell most pairs of candidates apart first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from ameli_llm.attributes.values.normalise import alternatives, normalise
from ameli_llm.types import Attributes


def differing(attributes: Sequence[Attributes]) -> tuple[str, ...]:
    """Keys whose values differ between at least two candidates, by falling number of such pairs.

    Values are compared in normal form ("1 TB" is "1000 gigabytes"), several values of a key as a set. A
    candidate without the key differs from none: a page that leaves an attribute out does not deny it. Ties
    go to the key that comes first in the alphabet, so the order of the candidates never matters.
    """
    keys = {key for candidate in attributes for key in candidate}
    split = {key: pairs_told_apart(attributes, key) for key in keys}
    return tuple(sorted((key for key in keys if split[key]), key=lambda key: (-split[key], key)))


def pairs_told_apart(attributes: Sequence[Attributes], key: str) -> int:
    """Number of candidate pairs that both state ``key`` and state different values."""
    groups = Counter(group for group in value_groups(attributes, key) if group is not None)
    stated = sum(groups.values())
    return (stated * stated - sum(count * count for count in groups.values())) // 2


def value_groups(attributes: Sequence[Attributes], key: str) -> list[Hashable | None]:
    """What each candidate states for ``key``, equal for equal values; None where the key is absent."""
    return [_group(key, candidate[key]) if candidate.get(key) else None for candidate in attributes]


def _group(key: str, values: Sequence[str]) -> Hashable:
    return frozenset(normalise(key, part) for value in values for part in alternatives(key, value))

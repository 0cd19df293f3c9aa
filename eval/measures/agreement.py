"""What a review's extracted values say about its right product, and how the linked product fared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.runs import AttributeRow
from eval.measures.judged import Judged
from eval.measures.showing import LISTED, Grid, Shown

PLACE = 80

AGREE, CONFLICT, UNKNOWN = "agree", "conflict", "unknown"
VERDICTS = (AGREE, CONFLICT, UNKNOWN)

TOP = 25
"""Attribute keys listed, most often extracted first."""


@dataclass(frozen=True, slots=True)
class AttributeScore:
    """An attribute key: reviews by verdict against the right product and against the linked one."""

    key: str
    n: int
    right_product: Mapping[str, int]
    linked_product: Mapping[str, int]


def measure(judged: Sequence[Judged]) -> dict[str, Any]:
    """``by_attribute``: the verdicts of the keys that were extracted most often."""
    return {"by_attribute": by_attribute(judged)}


def show(by_attribute: Sequence[Mapping[str, Any]]) -> Shown:
    """A table of the verdicts against the right product."""
    rows = ((one["key"], one["n"], *one["right_product"].values()) for one in by_attribute[:LISTED])
    return Shown(grids=(Grid.of(("attribute", "reviews", *VERDICTS), rows),))


def against_right_product(one: Judged) -> dict[str, str]:
    """Verdict by extracted key. ``unknown``: nothing comparable on the right product, or no product is right.

    Among several values of a key one that agrees, in part at least, decides. A negated value conflicts when
    the product has it, and says nothing otherwise.
    """
    by_key: defaultdict[str, list[AttributeRow]] = defaultdict(list)
    for value in one.row.attributes:
        by_key[value.key].append(value)
    return {
        key: _verdict(key, values, one.gold.attributes.get(key, ())) for key, values in sorted(by_key.items())
    }


def by_attribute(judged: Sequence[Judged]) -> list[AttributeScore]:
    """The ``TOP`` keys that extraction found most often; ties by name."""
    right: defaultdict[str, Counter[str]] = defaultdict(Counter)
    linked: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in judged:
        for key, verdict in against_right_product(one).items():
            right[key][verdict] += 1
        for row in one.row.evidence:
            if one.linked and row.entity_id == one.row.entity_id:
                linked[row.key][row.verdict] += 1
    keys = sorted(right, key=lambda key: (-right[key].total(), key))[:TOP]
    return [
        AttributeScore(key, right[key].total(), _counts(right[key]), _counts(linked[key])) for key in keys
    ]


def _counts(found: Counter[str]) -> dict[str, int]:
    return {verdict: found[verdict] for verdict in VERDICTS}


def _verdict(key: str, values: Iterable[AttributeRow], truth: Sequence[str]) -> str:
    from ameli_llm.attributes.values.normalise import agreement, normalise, normalise_all

    product = normalise_all(key, truth)
    verdicts = set()
    for value in values:
        level = agreement(normalise(key, value.value), product)
        if level is not None:
            verdicts.add(_denied(level) if value.negated else AGREE if level > 0 else CONFLICT)
    return next((verdict for verdict in VERDICTS if verdict in verdicts), UNKNOWN)


def _denied(level: float) -> str:
    return CONFLICT if level == 1 else UNKNOWN

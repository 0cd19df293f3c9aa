"""Fuses what several extractors found, by their precision on dev ("fuse1" of the official AMELI code)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from ameli_llm.attributes.extractor import Extraction
from ameli_llm.attributes.values.normalise import NormalisedValue, agreement, normalise, normalise_all
from ameli_llm.types import AttributeValue

Precision = Mapping[str, Mapping[str, float]]
"""Share of right values by who says it and key; "*" stands for all keys.

"llm" is all that this extractor says, "llm alone" what no other says too, "llm+rules" what both say.
"""

UNMEASURED = 0.9
"""Precision of an extractor that no table speaks of."""
ALL_KEYS = "*"
_FEWEST = 6
"""Values of one key that its own precision needs; with fewer, that of all keys counts."""
_SUPPOSED = 10
"""How many values what was supposed before counts for: a few right ones do not make anybody infallible."""

_Votes = dict[NormalisedValue, dict[str, AttributeValue]]


def merge(
    extractions: Mapping[str, Extraction], precision: Precision, threshold: float = 0.5
) -> tuple[AttributeValue, ...]:
    """The values of one review, by key: those that most extractors propose, when at least two agree.

    Where no two agree, the proposals of the extractor that is most precise for the key when it is alone; of
    equals, the first in ``extractions``. Either is kept only if its precision, that of the agreement or of
    the extractor alone, exceeds ``threshold``. Stated and denied values are fused apart, but what one states
    alone and another denies is not kept. A value carries the evidence of its most precise proposer.
    """
    order = {name: rank for rank, name in enumerate(extractions)}
    groups: dict[tuple[str, bool], _Votes] = {}
    for name, extraction in extractions.items():
        for value in extraction.values:
            votes = groups.setdefault((value.key, value.negated), {})
            votes.setdefault(normalise(value.key, value.value), {}).setdefault(name, value)
    merged: list[AttributeValue] = []
    for (key, negated), votes in groups.items():
        ranked = {name: (-precision_of(precision, [name], key), order[name]) for name in order}
        if not negated:
            votes = _undenied(votes, groups.get((key, True), {}))
        merged += [
            _of_all(proposers, min(proposers, key=ranked.__getitem__))
            for proposers in _chosen(votes, ranked)
            if precision_of(precision, proposers, key) > threshold
        ]
    return tuple(merged)


def _of_all(proposers: Mapping[str, AttributeValue], best: str) -> AttributeValue:
    return replace(proposers[best], also=tuple(sorted(name for name in proposers if name != best)))


def _undenied(votes: _Votes, denials: _Votes) -> _Votes:
    """The values that several state, or one while no other denies them."""
    return {
        value: proposers
        for value, proposers in votes.items()
        if len(proposers) > 1 or denials.get(value, {}).keys() <= proposers.keys()
    }


def _chosen(votes: _Votes, ranked: Mapping[str, tuple[float, int]]) -> list[dict[str, AttributeValue]]:
    """The proposers of the values that win. ``ranked``: (minus precision alone, order); smaller is better."""
    most = max(map(len, votes.values()), default=0)
    if most > 1:
        return [proposers for proposers in votes.values() if len(proposers) == most]
    named = {name for proposers in votes.values() for name in proposers}
    best = min(named, key=ranked.__getitem__, default="")
    return [proposers for proposers in votes.values() if best in proposers]


def precision_of(precision: Precision, names: Collection[str], key: str) -> float:
    """Precision of what exactly these extractors say.

    Where it is not measured, that of one is its own, and what several say is right.
    """
    label = _label(names)
    if label in precision:
        return lookup_precision(precision, label, key)
    return 1.0 if len(names) > 1 else lookup_precision(precision, next(iter(names)), key)


def _label(names: Collection[str]) -> str:
    return "+".join(sorted(names)) if len(names) > 1 else f"{next(iter(names))} alone"


def lookup_precision(precision: Precision, extractor: str, key: str) -> float:
    """Precision for the key, else for all keys, else ``UNMEASURED``."""
    table = precision.get(extractor, {})
    return table.get(key, table.get(ALL_KEYS, UNMEASURED))


def measure_precision(
    found: Iterable[Mapping[str, Extraction]], gold: Iterable[Mapping[str, tuple[str, ...]]]
) -> dict[str, dict[str, float]]:
    """Precision by who says it and key, from reviews and the attributes of their gold products, dev only.

    A value counts as right when it agrees with the gold product (``normalise.agreement``), as wrong when it
    conflicts, and not at all when the product lacks the key; a denied value the other way round. Several
    values of one key at one place count once, right if one is. Keys with fewer than 6 counted values are
    left to "*".

    Shares are shrunk, as if 10 more values had been counted: for "*" with ``UNMEASURED`` right, or all where
    several extractors agree; for a key as many as for "*".
    """
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for extractions, attributes in zip(found, gold, strict=True):
        for name, values in _by_voice(extractions).items():
            for (key, negated), level in _levels(values, attributes):
                for column in (key, ALL_KEYS):
                    total[name, column] += 1
                    right[name, column] += (level > 0) != negated
    table: dict[str, dict[str, float]] = {}
    for name in sorted({name for name, _ in total}):
        supposed = 1.0 if "+" in name else UNMEASURED
        overall = _shrunk(right[name, ALL_KEYS], total[name, ALL_KEYS], supposed)
        table[name] = {ALL_KEYS: overall}
        for (other, key), count in sorted(total.items()):
            if other == name and key != ALL_KEYS and count >= _FEWEST:
                table[name][key] = _shrunk(right[name, key], count, overall)
    return table


def _shrunk(right: int, total: int, supposed: float) -> float:
    return (right + _SUPPOSED * supposed) / (total + _SUPPOSED)


def _by_voice(extractions: Mapping[str, Extraction]) -> dict[str, list[AttributeValue]]:
    """The values by each extractor, by each alone, and by those that agree; an agreement is its first's."""
    said: dict[tuple[str, bool, NormalisedValue], dict[str, AttributeValue]] = {}
    voices: dict[str, list[AttributeValue]] = {}
    for name, extraction in extractions.items():
        for value in extraction.values:
            voices.setdefault(name, []).append(value)
            meant = (value.key, value.negated, normalise(value.key, value.value))
            said.setdefault(meant, {}).setdefault(name, value)
    if len(extractions) > 1:
        for proposers in said.values():
            voices.setdefault(_label(proposers), []).append(next(iter(proposers.values())))
    return voices


def _levels(
    values: Iterable[AttributeValue], attributes: Mapping[str, tuple[str, ...]]
) -> list[tuple[tuple[str, bool], float]]:
    """Key and polarity of each stated place that can be judged, with its best agreement."""
    places: dict[tuple[object, ...], list[float]] = {}
    for value in values:
        known = normalise_all(value.key, attributes.get(value.key, ()))
        level = agreement(normalise(value.key, value.value), known)
        if level is not None:
            where = value.evidence
            place = (value.key, value.negated, where.field, where.image, where.box, where.start, where.end)
            places.setdefault(place, []).append(level)
    return [((str(place[0]), bool(place[1])), max(levels)) for place, levels in places.items()]

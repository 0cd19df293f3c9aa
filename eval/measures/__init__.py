"""What is measured of a run. One file of this package is one measure, or one family of measures.

``measure`` gives the keys and values that the file adds to ``metrics.json``, and names by its parameters what
of ``evaluation.Sample`` it looks at. ``show`` says how they are printed, and names by its parameters the keys
of ``metrics.json`` that it needs. ``PLACE`` is where they stand among the others; without it, before the
seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ameli_llm.registry import Registry

_HELPERS = ("counting", "judged", "showing", "statistics")

MEASURES = Registry("measure", "eval.measures", entry="measure", helpers=_HELPERS)
SHOWN = Registry("measure", "eval.measures", entry="show", helpers=_HELPERS)

NEW = 90
"""The place of a measure that names none."""


def in_order() -> list[str]:
    """Names of the measures in the order of ``metrics.json``."""
    return sorted(MEASURES.names(), key=lambda name: (getattr(MEASURES.module(name), "PLACE", NEW), name))


def measured(sample: Mapping[str, Any]) -> dict[str, Any]:
    """All keys and values of a run. Raises ValueError when two files measure the same key."""
    offered = {name: lambda part=part: part for name, part in sample.items()}
    values: dict[str, Any] = {}
    for name in in_order():
        made = MEASURES.make(name, offered)
        if twice := made.keys() & values.keys():
            raise ValueError(f"{name} measures {', '.join(sorted(twice))} once more")
        values |= made
    return values


def shown(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each measure's name and what it shows of the content of ``metrics.json``.

    A measure that the file does not have, because an older version wrote it, is left out.
    """
    offered = {key: lambda value=value: value for key, value in document.items()}
    for name in in_order():
        if SHOWN.needs(name) <= offered.keys():
            yield name, SHOWN.make(name, offered)

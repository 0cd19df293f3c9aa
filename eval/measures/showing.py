"""How a measure is printed, as data: the command line and the report draw it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LISTED = 10
"""Rows of a long table that are printed."""


@dataclass(frozen=True, slots=True)
class Score:
    """A row of the table of scores; ``interval`` has value, low, high and n, None when it is unknown."""

    name: str
    hint: str
    interval: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; its first column names the rows. Without rows it is not printed."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Grid:
        """The table of cells of any type."""
        return cls(tuple(header), tuple(tuple(map(str, row)) for row in rows))


@dataclass(frozen=True, slots=True)
class Shown:
    """What a measure adds to each part of the page, in the order of the parts."""

    head: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    grids: tuple[Grid, ...] = ()
    lines: tuple[str, ...] = ()


def percent(interval: Mapping[str, Any] | None) -> str:
    """A score of ``metrics.json`` as papers print it, in percent; "-" when it could not be measured."""
    from eval.measures.statistics import Interval

    return Interval(**interval).percent() if interval else "-"

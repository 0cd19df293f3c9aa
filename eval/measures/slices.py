"""Scores of parts of a run: by category, by slice of the dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.measures.counting import f1
from eval.measures.judged import Judged
from eval.measures.showing import LISTED, Grid, Shown, percent
from eval.measures.statistics import ClusteredBootstrap, Interval

PLACE = 78

TOP = 25
"""Categories listed, largest first."""


@dataclass(frozen=True, slots=True)
class SliceScore:
    """A part of the reviews: how often retrieval reaches the right product, and how good the links are."""

    name: str
    n: int
    recall_at_k: Interval
    end_to_end_f1: Interval


def measure(judged: Sequence[Judged], k: int, bootstrap: ClusteredBootstrap) -> dict[str, Any]:
    """``by_category`` and ``by_slice``: recall@K and end-to-end F1 of each part."""
    return {
        "by_category": by_category(judged, k, bootstrap),
        "by_slice": by_slice(judged, k, bootstrap),
    }


def show(by_category: Sequence[Mapping[str, Any]], by_slice: Sequence[Mapping[str, Any]], k: int) -> Shown:
    """A table each, of the largest parts."""
    return Shown(
        grids=tuple(
            Grid.of(
                (title, "n", f"recall@{k}", "end-to-end F1"),
                (
                    (part["name"], part["n"], percent(part["recall_at_k"]), percent(part["end_to_end_f1"]))
                    for part in parts[:LISTED]
                ),
            )
            for title, parts in (("category", by_category), ("slice", by_slice))
        )
    )


def by_category(judged: Sequence[Judged], k: int, bootstrap: ClusteredBootstrap) -> list[SliceScore]:
    """The ``TOP`` largest leaf categories of the right products; ties by name."""
    named = groups((one.gold.category,) for one in judged)
    return _scores(judged, k, bootstrap, _largest_first(named)[:TOP])


def by_slice(judged: Sequence[Judged], k: int, bootstrap: ClusteredBootstrap) -> list[SliceScore]:
    """Every slice that reviews declare, and for each "not NAME": the rest. A review may be in several."""
    named = groups(one.gold.slices for one in judged)
    everyone = set(range(len(judged)))
    rest = {f"not {name}": everyone - members for name, members in named.items()}
    both = {**named, **{name: members for name, members in rest.items() if members}}
    return _scores(judged, k, bootstrap, _largest_first(both))


def groups(names: Iterable[Iterable[str]]) -> dict[str, set[int]]:
    """Positions of the reviews that carry each name; empty names are left out."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for position, carried in enumerate(names):
        for name in carried:
            if name:
                found[name].add(position)
    return dict(found)


def _largest_first(named: dict[str, set[int]]) -> list[tuple[str, set[int]]]:
    return sorted(named.items(), key=lambda item: (-len(item[1]), item[0]))


def _scores(
    judged: Sequence[Judged], k: int, bootstrap: ClusteredBootstrap, named: Sequence[tuple[str, set[int]]]
) -> list[SliceScore]:
    reached = [one.within(k) for one in judged]
    scores = []
    for name, members in named:
        inside = [position in members for position in range(len(judged))]
        known = [one.in_kb and use for one, use in zip(judged, inside, strict=True)]
        found = [hit and use for hit, use in zip(reached, known, strict=True)]
        scores.append(
            SliceScore(
                name,
                len(members),
                bootstrap.ratio(found, known),
                f1(bootstrap, judged, inside),
            )
        )
    return scores

"""Two runs on the same reviews: what B fixed, what it broke, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.errors import AmeliError
from ameli_llm.ids import ReviewId, id_order
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.measures.judged import Judged, judge, product_bootstrap
from eval.measures.metrics import f1, f1_parts
from eval.measures.slices import groups
from eval.measures.statistics import SAMPLES, Difference, Interval, exact_mcnemar, false_discovery

WORST = 10
"""Slices listed, worst first."""


@dataclass(frozen=True, slots=True)
class SliceChange:
    """A slice or category in which something changed. ``q`` is ``p`` corrected for all slices tested."""

    kind: str
    name: str
    n: int
    fixed: int
    broken: int
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class Paired:
    """B against A on the ``n`` reviews with gold that both predicted; right as in ``Judged.right``.

    ``only_a`` and ``only_b`` count scored reviews that the other run lacks; they take no part. ``p`` is
    McNemar's exact p over fixed and broken. Tokens and seconds are B minus A on the shared reviews.
    """

    n: int
    only_a: int
    only_b: int
    a: Interval
    b: Interval
    difference: Difference
    fixed: tuple[ReviewId, ...]
    broken: tuple[ReviewId, ...]
    p: float
    worst: tuple[SliceChange, ...]
    tokens: Mapping[str, int]
    seconds: float


def compare(
    rows_a: Sequence[PredictionRow],
    gold_a: Mapping[ReviewId, GoldRow],
    rows_b: Sequence[PredictionRow],
    gold_b: Mapping[ReviewId, GoldRow],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Paired:
    """The paired comparison; the difference is of end-to-end F1.

    Raises AmeliError when the runs share no scored review or name different right products for one.
    """
    all_a = {one.review_id: one for one in judge(rows_a, gold_a)}
    all_b = {one.review_id: one for one in judge(rows_b, gold_b)}
    shared = sorted(all_a.keys() & all_b.keys(), key=id_order)
    _check(all_a, all_b, shared)
    a, b = [all_a[i] for i in shared], [all_b[i] for i in shared]
    bootstrap = product_bootstrap(a, samples, seed)
    right_a, right_b = [one.right for one in a], [one.right for one in b]
    return Paired(
        n=len(shared),
        only_a=len(all_a) - len(shared),
        only_b=len(all_b) - len(shared),
        a=f1(bootstrap, a),
        b=f1(bootstrap, b),
        difference=bootstrap.difference(f1_parts(a), f1_parts(b)),
        fixed=tuple(i for i, x, y in zip(shared, right_a, right_b, strict=True) if y and not x),
        broken=tuple(i for i, x, y in zip(shared, right_a, right_b, strict=True) if x and not y),
        p=exact_mcnemar(right_a, right_b),
        worst=tuple(_worst(a, right_a, right_b)),
        tokens={
            name: sum(
                getattr(y.row.tokens, name) - getattr(x.row.tokens, name) for x, y in zip(a, b, strict=True)
            )
            for name in ("prompt", "completion", "cached")
        },
        seconds=sum(y.row.seconds - x.row.seconds for x, y in zip(a, b, strict=True)),
    )


def compare_runs(a: RunFolder, b: RunFolder) -> Paired:
    """The paired comparison of two run folders. Raises AmeliError, also when one is no run."""
    return compare(list(a.require().predictions()), a.gold(), list(b.require().predictions()), b.gold())


def changed_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Leaves of two nested mappings that differ, as dotted key: (in A, in B); None where one lacks it."""
    flat_a, flat_b = _flat(a), _flat(b)
    keys = sorted(flat_a.keys() | flat_b.keys())
    return {key: (flat_a.get(key), flat_b.get(key)) for key in keys if flat_a.get(key) != flat_b.get(key)}


def _check(a: Mapping[ReviewId, Judged], b: Mapping[ReviewId, Judged], shared: Sequence[ReviewId]) -> None:
    if not shared:
        raise AmeliError(
            f"The runs share no review with gold ({len(a)} in A, {len(b)} in B).",
            hint="Compare runs of the same dataset and split.",
        )
    for review in shared:
        in_a, in_b = a[review].gold.gold, b[review].gold.gold
        if in_a != in_b:
            raise AmeliError(
                f"The right product of review {review} is {in_a} in A and {in_b} in B.",
                hint="Compare runs of the same dataset.",
            )


def _worst(judged: Sequence[Judged], right_a: Sequence[bool], right_b: Sequence[bool]) -> list[SliceChange]:
    """Slices by broken minus fixed, most first; ties by name. Slices without a change are not tested."""
    named = [("category", *item) for item in groups((one.gold.category,) for one in judged).items()]
    named += [("slice", *item) for item in groups(one.gold.slices for one in judged).items()]
    changes = []
    for kind, name, members in named:
        before, after = [right_a[i] for i in members], [right_b[i] for i in members]
        fixed = sum(y and not x for x, y in zip(before, after, strict=True))
        broken = sum(x and not y for x, y in zip(before, after, strict=True))
        if fixed + broken:
            changes.append((kind, name, len(members), fixed, broken, exact_mcnemar(before, after)))
    corrected = false_discovery([change[-1] for change in changes])
    rows = [SliceChange(*change, q) for change, q in zip(changes, corrected, strict=True)]
    return sorted(rows, key=lambda row: (row.fixed - row.broken, row.kind, row.name))[:WORST]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves.update(_flat(value, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves

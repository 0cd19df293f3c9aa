"""Two runs on the same reviews: what B fixed, what it broke, and whether that can be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.cycles import no_cycle_search
from ameli_llm.errors import AmeliError
from ameli_llm.ids import ReviewId, id_order
from ameli_llm.nested import flat
from ameli_llm.runner import MAY_CHANGE
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.evaluation import plain, spec
from eval.failures import FailureKind, failure_kinds
from eval.measures.counting import f1, f1_parts
from eval.measures.judged import Judged, judge, product_bootstrap
from eval.measures.slices import groups
from eval.measures.statistics import SAMPLES, Difference, Interval, exact_mcnemar, false_discovery
from eval.prompt_changes import prompt_changes
from eval.standing import Standing, standing

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
class Contrast:
    """B against A on the same ``n`` reviews; right as in ``Judged.right``.

    ``difference`` is of end-to-end F1, ``p`` McNemar's exact p over fixed and broken.
    """

    n: int
    a: Interval
    b: Interval
    difference: Difference
    fixed: tuple[ReviewId, ...]
    broken: tuple[ReviewId, ...]
    p: float

    @classmethod
    def of(cls, a: Sequence[Judged], b: Sequence[Judged], samples: int = SAMPLES, seed: int = 0) -> Contrast:
        """Of the same reviews in the same order."""
        bootstrap = product_bootstrap(a, samples, seed)
        pairs = list(zip(a, b, strict=True))
        return cls(
            n=len(pairs),
            a=f1(bootstrap, a),
            b=f1(bootstrap, b),
            difference=bootstrap.difference(f1_parts(a), f1_parts(b)),
            fixed=tuple(x.review_id for x, y in pairs if y.right and not x.right),
            broken=tuple(x.review_id for x, y in pairs if x.right and not y.right),
            p=exact_mcnemar([x.right for x in a], [y.right for y in b]),
        )


@dataclass(frozen=True, slots=True)
class Paired:
    """B against A on the ``shared`` reviews with gold that both have.

    ``answered`` is over those that both answered. A review that failed in either, because the model's reply
    was unusable or never came, says nothing of the change; ``failures_as_wrong`` counts it as wrong, over all
    shared reviews. ``failed_a`` and ``failed_b`` count failures among these, ``failures`` by kind (reviews in
    A, in B). ``only_a`` and ``only_b`` count scored reviews that the other run lacks; they take no part.
    ``worst`` are parts of the answered reviews, ``tokens`` B minus A on the shared ones.
    """

    shared: int
    only_a: int
    only_b: int
    failed_a: int
    failed_b: int
    failures: tuple[FailureKind, ...]
    answered: Contrast
    failures_as_wrong: Contrast
    worst: tuple[SliceChange, ...]
    tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs compared, how far each is, and what differs in their making.

    ``changed`` are the settings that differ, (in A, in B), and may decide an answer; ``aside`` those that
    cannot. ``prompts`` is a diff of templates for each part that asks a model and asks otherwise.
    """

    paired: Paired
    a: Standing
    b: Standing
    changed: Mapping[str, tuple[Any, Any]]
    aside: Mapping[str, tuple[Any, Any]]
    prompts: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """JSON types: ``answered`` on the top level, ``failures_as_wrong`` under its name."""
        content = plain(self.paired)
        kinds = [
            {"state": kind.state, "message": kind.message, **dict(zip("ab", kind.reviews, strict=True))}
            for kind in self.paired.failures
        ]
        failures = {"a": content.pop("failed_a"), "b": content.pop("failed_b"), "kinds": kinds}
        sides = {"a": self.a, "b": self.b}
        time = {
            name: {
                "seconds": one.seconds,
                "reviews_per_second": one.reviews_per_second,
                "requests": one.requests,
                "requests_per_second": one.requests_per_second,
            }
            for name, one in sides.items()
        }
        document = {**content.pop("answered"), **content, "failures": failures}
        made = {"changed": self.changed, "changed_aside": self.aside, "prompts": self.prompts}
        return {**document, "time": plain(time), **plain(made)}


def compare(
    rows_a: Sequence[PredictionRow],
    gold_a: Mapping[ReviewId, GoldRow],
    rows_b: Sequence[PredictionRow],
    gold_b: Mapping[ReviewId, GoldRow],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Paired:
    """The paired comparison.

    Raises AmeliError when the runs share no scored review or name different right products for one.
    """
    all_a = {one.review_id: one for one in judge(rows_a, gold_a)}
    all_b = {one.review_id: one for one in judge(rows_b, gold_b)}
    shared = sorted(all_a.keys() & all_b.keys(), key=id_order)
    _check(all_a, all_b, shared)
    a, b = [all_a[i] for i in shared], [all_b[i] for i in shared]
    both = [i for i in shared if not (all_a[i].failed or all_b[i].failed)]
    everything = Contrast.of(a, b, samples, seed)
    answered = everything
    if len(both) < len(shared):
        answered = Contrast.of([all_a[i] for i in both], [all_b[i] for i in both], samples, seed)
    return Paired(
        shared=len(shared),
        only_a=len(all_a) - len(shared),
        only_b=len(all_b) - len(shared),
        failed_a=sum(one.failed for one in a),
        failed_b=sum(one.failed for one in b),
        failures=tuple(failure_kinds([one.row for one in a], [one.row for one in b])),
        answered=answered,
        failures_as_wrong=everything,
        worst=tuple(_worst([all_a[i] for i in both], [all_b[i] for i in both])),
        tokens={
            kind: sum(
                getattr(y.row.tokens, kind) - getattr(x.row.tokens, kind) for x, y in zip(a, b, strict=True)
            )
            for kind in ("prompt", "completion", "cached")
        },
    )


def compare_runs(a: RunFolder, b: RunFolder) -> RunComparison:
    """The comparison of two run folders. Raises AmeliError, also when one is no run."""
    (compared,) = compare_all(a, [b])
    return compared


@no_cycle_search()
def compare_all(a: RunFolder, others: Sequence[RunFolder]) -> list[RunComparison]:
    """Each of the other run folders compared with ``a``. Raises AmeliError, also when one is no run."""
    rows_a, gold_a = list(a.require().predictions()), a.gold()
    return [compare_read(a, rows_a, gold_a, b, list(b.require().predictions()), b.gold()) for b in others]


def compare_read(
    a: RunFolder,
    rows_a: Sequence[PredictionRow],
    gold_a: Mapping[ReviewId, GoldRow],
    b: RunFolder,
    rows_b: Sequence[PredictionRow],
    gold_b: Mapping[ReviewId, GoldRow],
) -> RunComparison:
    """Two run folders compared whose predictions and gold have been read. Raises AmeliError."""
    changed = changed_settings(spec(a), spec(b))
    return RunComparison(
        compare(rows_a, gold_a, rows_b, gold_b),
        standing(a, len(rows_a)),
        standing(b, len(rows_b)),
        {name: pair for name, pair in changed.items() if name not in MAY_CHANGE},
        {name: pair for name, pair in changed.items() if name in MAY_CHANGE},
        prompt_changes(a, b),
    )


def changed_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Leaves of two nested mappings that differ, as dotted key: (in A, in B); None where one lacks it."""
    flat_a, flat_b = flat(a), flat(b)
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
                f"The right product of review {review!r} is {in_a!r} in A and {in_b!r} in B.",
                hint="Compare runs of the same dataset.",
            )


def _worst(a: Sequence[Judged], b: Sequence[Judged]) -> list[SliceChange]:
    """Slices by broken minus fixed, most first; ties by name. Slices without a change are not tested."""
    right_a, right_b = [one.right for one in a], [one.right for one in b]
    named = [("category", *item) for item in groups((one.gold.category,) for one in a).items()]
    named += [("slice", *item) for item in groups(one.gold.slices for one in a).items()]
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

"""The rows of the paper's Table 5, measured, and every one of them against AMELINK."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.ids import ReviewId
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.baselines.baseline import TableRow
from eval.baselines.declared import Wanted, declared
from eval.evaluation import evaluate_run, spec
from eval.measures.counting import Parts, Protocol, answered, f1_parts
from eval.measures.judged import Judged, judge, product_bootstrap
from eval.measures.statistics import Difference, exact_against_chance, exact_mcnemar, false_discovery
from eval.published import Published

REFERENCE = "amelink"
"""Key of the row that all others are compared with."""

OURS = "ameli-llm"
"""Key of our own linker without a model."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table. ``key`` is its name on the command line and its run folder's.

    ``baseline`` and ``variant`` are what ``eval.baselines`` knows it by; our own linker has neither.
    ``published`` is the row's key in ``eval/expected/table5.yaml``, "" where nothing was published.
    """

    key: str
    name: str
    modality: str
    attribute: bool
    baseline: str = ""
    variant: str = ""
    published: str = ""
    needs_images: bool = False

    @property
    def reads_images(self) -> bool:
        """Whether images decide its scores."""
        return self.needs_images or "V" in self.modality


@dataclass(frozen=True, slots=True)
class Against:
    """A row minus AMELINK in end-to-end F1, on the same reviews.

    ``fixed`` and ``broken`` count the reviews that only the row, and only AMELINK, got right; ``p`` is
    McNemar's exact p over them, ``q`` that p corrected for all rows of the table (Benjamini and Hochberg).
    """

    difference: Difference
    fixed: int
    broken: int
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class AgainstChance:
    """A row against guesses among the same candidates, over the ``n`` reviews of disambiguation.

    ``hits`` of them are right, a share of ``chance`` would be by guessing, and ``p`` is the exact one-sided p
    that a guess is right as often (``exact_against_chance``). A review that is not linked is a miss.
    """

    n: int
    hits: int
    chance: float
    p: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A row's run measured. ``against`` is None for AMELINK, and for every row of a table without it."""

    row: Row
    run: RunFolder
    metrics: Mapping[str, Any]
    against_chance: AgainstChance
    against: Against | None

    @property
    def run_with(self) -> Mapping[str, Any]:
        """What the run records of its method: a baseline's description, or our linker's configuration."""
        content = spec(self.run)
        baseline = content.get("baseline")
        if baseline is not None:
            described: Mapping[str, Any] = baseline["described"]
            return described
        return {name: content.get(name) for name in ("config", "templates", "engine", "index")}


@dataclass(frozen=True, slots=True)
class Missing:
    """A row that could not be made, and why."""

    row: Row
    reason: str


def baseline_rows(published: Published, wanted: Wanted) -> list[Row]:
    """The rows of all baselines: those of the paper in its order, then those that it lacks."""
    rows = list(_declared_rows(published, wanted))
    order = list(published.rows)
    first = sorted((row for row in rows if row.published), key=lambda row: order.index(row.published))
    return [*first, *(row for row in rows if not row.published)]


def _declared_rows(published: Published, wanted: Wanted) -> Iterator[Row]:
    for baseline in declared():
        for one in baseline.rows(baseline.settings(wanted)):
            yield _row(one, baseline.name, published)


def _row(one: TableRow, baseline: str, published: Published) -> Row:
    key = one.key.replace("-", "_")
    paper = published.rows.get(key)
    if paper is None:
        texts = one.name or one.key, one.modality, one.attribute
        return Row(one.key, *texts, baseline, one.variant, "", one.needs_images)
    texts = paper.name, paper.modality, bool(paper.attribute)
    return Row(one.key, *texts, baseline, one.variant, key, one.needs_images)


def measure(runs: Sequence[tuple[Row, RunFolder]]) -> list[Measured]:
    """Measures finished runs over the same reviews, each against AMELINK's where that is among them.

    Raises AmeliError when one is no run, or empty, or broken.
    """
    scored = {row.key: evaluate_run(run) for row, run in runs}
    judged = {
        row.key: _counted(scored[row.key].rows, run.gold(), scored[row.key].metrics["protocol"])
        for row, run in runs
    }
    others = [row.key for row, _ in runs if row.key != REFERENCE and REFERENCE in judged]
    against = {
        key: _against(judged[REFERENCE], judged[key], bool(scored[key].metrics["protocol"].batch_size))
        for key in others
    }
    corrected = dict(zip(others, false_discovery([against[key][-1] for key in others]), strict=True))
    return [
        Measured(
            row,
            run,
            scored[row.key].metrics,
            _against_chance(judged[row.key], scored[row.key].metrics["k"]),
            Against(*against[row.key], corrected[row.key]) if row.key in against else None,
        )
        for row, run in runs
    ]


def _counted(
    rows: Sequence[PredictionRow], gold: Mapping[ReviewId, GoldRow], protocol: Protocol
) -> list[Judged]:
    """The reviews that the protocol counts, in order of id, answered as it answers them."""
    judged = judge(rows, gold)
    if not protocol.batch_size:
        return judged
    return [answered(one) for one in judged[: len(judged) - protocol.reviews_dropped]]


def _against(
    reference: Sequence[Judged], judged: Sequence[Judged], official: bool
) -> tuple[Difference, int, int, float]:
    """Difference of the scores, reviews fixed and broken, and McNemar's p."""
    before, after = [one.right for one in reference], [one.right for one in judged]
    bootstrap = product_bootstrap(reference)
    score = _accuracy_parts if official else f1_parts
    difference = bootstrap.difference(score(reference), score(judged))
    fixed = sum(y and not x for x, y in zip(before, after, strict=True))
    broken = sum(x and not y for x, y in zip(before, after, strict=True))
    return difference, fixed, broken, exact_mcnemar(before, after)


def _against_chance(judged: Sequence[Judged], k: int) -> AgainstChance:
    lists = [one for one in judged if one.within(k)]
    right = [one.hit for one in lists]
    chances = [1 / min(k, len(one.row.candidates)) for one in lists]
    share = sum(chances) / len(lists) if lists else math.nan
    return AgainstChance(len(lists), sum(right), share, exact_against_chance(right, chances))


def _accuracy_parts(judged: Sequence[Judged]) -> Parts:
    return [int(one.hit) for one in judged], [1] * len(judged)

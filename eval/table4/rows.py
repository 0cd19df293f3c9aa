"""The rows of Table 4, measured, and each against the paper's last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ameli_llm.ids import EntityId
from eval.measures.recall import CUTOFFS
from eval.measures.statistics import ClusteredBootstrap, Difference, Interval, exact_mcnemar, false_discovery
from eval.published import Published
from eval.table4.ranking import Rows, Table4

REFERENCE = "tuned_clip_sbert_prior"
"""Key of the row that every other one is tested against: the paper's last, its retrieval for Table 5."""
TESTED = 10
"""The paired test is on recall at this cutoff: the candidates of Table 5."""


@dataclass(frozen=True)
class Test:
    """A row against the reference on Recall@10: exact p, p corrected, difference with its interval."""

    p: float
    corrected: float
    difference: Difference


@dataclass(frozen=True)
class Row:
    """A row of the table; ``recall`` is empty and ``missing`` says why where it could not be run."""

    key: str
    method: str
    modality: str
    n: int
    recall: Mapping[int, Interval]
    published: Mapping[str, float]
    second_hand: Mapping[str, float]
    source: Mapping[str, Any] | None
    seconds: float | None
    test: Test | None
    missing: str

    def cells(self, cutoffs: Sequence[int]) -> tuple[str, ...]:
        """The row as text; "-" for what there is not."""
        recall = [
            cell
            for k in cutoffs
            for cell in (self.recall[k].percent() if k in self.recall else "-", self._paper(f"recall_{k}"))
        ]
        return (
            *(self.method, self.modality, *recall, str(self.n)),
            "-" if self.seconds is None else f"{self.seconds:.1f}",
            "-" if self.test is None else f"{self.test.p:.2g}",
            "-" if self.test is None else f"{self.test.corrected:.2g}",
        )

    def _paper(self, measure: str) -> str:
        if measure in self.published:
            return f"{self.published[measure]:.2f}"
        return f"({self.second_hand[measure]:.2f})" if measure in self.second_hand else "-"


def measured(
    paper: Table4, found: Mapping[str, Rows], gold: Sequence[EntityId], figures: Published
) -> list[Row]:
    """A row for each method; ``found`` has the rankings of those that were run, in the order of ``gold``."""
    right = paper.rows_of(gold)
    hits = {
        method.key: {k: (found[method.name][:, :k] == right).any(axis=1) for k in CUTOFFS}
        for method in paper.methods
        if method.name in found
    }
    bootstrap = ClusteredBootstrap(gold)
    tests = _tests(hits, bootstrap)
    return [
        Row(
            key=method.key,
            method=method.name,
            modality=method.modality,
            n=len(gold),
            recall={k: bootstrap.ratio(right) for k, right in hits.get(method.key, {}).items()},
            published=figures.values(method.key),
            second_hand=figures.second_hand(method.key),
            source=figures.document(method.key),
            seconds=paper.seconds.get(method.name),
            test=tests.get(method.key),
            missing=method.missing,
        )
        for method in paper.methods
    ]


def _tests(
    hits: Mapping[str, Mapping[int, npt.NDArray[np.bool_]]], bootstrap: ClusteredBootstrap
) -> dict[str, Test]:
    """Each row against the reference; {} when that one was not run."""
    if REFERENCE not in hits:
        return {}
    reference = hits[REFERENCE][TESTED]
    others = {key: right[TESTED] for key, right in hits.items() if key != REFERENCE}
    p_values = [exact_mcnemar(reference, right) for right in others.values()]
    return {
        key: Test(p, corrected, bootstrap.difference((reference, None), (right, None)))
        for (key, right), p, corrected in zip(
            others.items(), p_values, false_discovery(p_values), strict=True
        )
    }

"""What came out of a matrix: its cells beside each other, each paired with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.files import write_json
from ameli_llm.runs import PredictionRow
from ameli_llm.transcripts import read_transcript
from eval.evaluation import plain
from eval.experiment import Outcome
from eval.failures import FAILED
from eval.matrix.run import RUNS, Matrix
from eval.measures.showing import percent
from eval.measures.statistics import false_discovery
from eval.paired import Contrast, compare
from eval.standing import standing
from eval.tables import Table

FILE = "matrix.json"


@dataclass(frozen=True, slots=True)
class CellScores:
    """A cell's run. ``f1`` is end-to-end F1 as in its metrics.json; ``failed`` counts reviews.

    ``contrast`` is with the baseline, over the reviews that both answered, and ``q`` its p corrected for the
    number of cells; the baseline has none. ``calls`` and tokens are those behind its answers, whoever
    sent them: what the cell would cost alone. ``seconds`` is how long it was linked, None when not known.
    """

    name: str
    f1: Mapping[str, Any]
    contrast: Contrast | None
    q: float | None
    failed: int
    calls: int
    prompt: int
    completion: int
    seconds: float | None

    def document(self) -> dict[str, Any]:
        """JSON types, without seconds."""
        found: dict[str, Any] = {"name": self.name, "run": f"{RUNS}/{self.name}"}
        found |= {"end_to_end_f1": self.f1, "failed": self.failed, "calls": self.calls}
        found |= {"tokens": {"prompt": self.prompt, "completion": self.completion}}
        if self.contrast is not None and self.q is not None:
            one = self.contrast
            found |= {"answered_by_both": one.n, "difference": plain(one.difference)}
            found |= {"fixed": list(one.fixed), "broken": list(one.broken)}
            found |= {"p": float(f"{one.p:.6g}"), "q": float(f"{self.q:.6g}")}
        return found


@dataclass(frozen=True, slots=True)
class MatrixScores:
    """The cells of a matrix in the order of its file; ``head`` says of what, ``spent`` what it took."""

    head: Mapping[str, Any]
    cells: Sequence[CellScores]
    spent: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """The content of matrix.json: the same however often it was interrupted, but for ``spent``."""
        return {**self.head, "cells": [one.document() for one in self.cells], "spent": self.spent}

    def table(self) -> Table:
        """A row a cell."""
        base = self.head["baseline"]
        columns = ("cell", "n", "end-to-end F1, %", f"minus {base}", "fixed", "broken", "p", "q", "failed")
        head = self.head
        return Table(
            title=f"{head['dataset']}, {head['split']}",
            caption=f"{head['reviews']} reviews, seed {head['seed']}. Differences, fixed, broken and p are "
            f"over the reviews that both answered; q is p corrected for {len(self.cells) - 1} cells.",
            columns=(*columns, "calls", "tokens", "seconds"),
            rows=tuple(_row(one) for one in self.cells),
        )


def scored(matrix: Matrix, outcomes: Mapping[str, Outcome]) -> MatrixScores:
    """The scores of linked cells, also written as matrix.json. Raises AmeliError for a damaged run."""
    rows = {cell: list(matrix.run(cell).predictions()) for cell in matrix.cells}
    gold = matrix.run(matrix.baseline).gold()
    contrasts = {
        cell: compare(rows[matrix.baseline], gold, rows[cell], matrix.run(cell).gold()).answered
        for cell in matrix.cells
        if cell != matrix.baseline
    }
    corrected = dict(zip(contrasts, false_discovery([one.p for one in contrasts.values()]), strict=True))
    cells = [
        _scores(matrix, cell, outcomes[cell], rows[cell], contrasts.get(cell), corrected.get(cell))
        for cell in matrix.cells
    ]
    head = {
        "dataset": matrix.dataset.name,
        "split": matrix.sample.name,
        "reviews": len(matrix.sample.reviews),
        "seed": matrix.plan.seed,
        "baseline": matrix.baseline,
    }
    spent = {
        "sent": matrix.ledger.total.model_dump(),
        "seconds": {one.name: one.seconds for one in cells},
    }
    found = MatrixScores(head, cells, spent)
    write_json(matrix.out / FILE, found.document())
    return found


def _scores(
    matrix: Matrix,
    cell: str,
    outcome: Outcome,
    rows: Sequence[PredictionRow],
    contrast: Contrast | None,
    q: float | None,
) -> CellScores:
    assert outcome.metrics is not None, "the sample has gold"
    run = matrix.run(cell)
    seconds = standing(run, len(rows)).seconds
    return CellScores(
        cell,
        outcome.metrics["end_to_end_f1"],
        contrast,
        q,
        sum(row.state in FAILED for row in rows),
        sum(len(read_transcript(run.path, row.review_id)) for row in rows),
        sum(row.tokens.prompt for row in rows),
        sum(row.tokens.completion for row in rows),
        None if seconds is None else round(seconds, 3),
    )


def _row(one: CellScores) -> tuple[str, ...]:
    cost = (str(one.failed), str(one.calls), str(one.prompt + one.completion))
    seconds = "-" if one.seconds is None else f"{one.seconds:.1f}"
    compared = ("", "", "", "", "")
    if one.contrast is not None and one.q is not None:
        found = one.contrast
        compared = (
            found.difference.percent(),
            str(len(found.fixed)),
            str(len(found.broken)),
            f"{found.p:.3g}",
            f"{one.q:.3g}",
        )
    n = one.f1["n"] if one.contrast is None else one.contrast.n
    return (one.name, str(n), percent(one.f1), *compared, *cost, seconds)

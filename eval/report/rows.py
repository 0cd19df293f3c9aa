"""The reviews of a report: each as all of its runs judged it, those first that deserve a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ameli_llm.ids import ReviewId, id_order
from eval.measures.judged import Judged
from eval.report.sides import Side


@dataclass(frozen=True, slots=True)
class Row:
    """A review that any of the runs scored, as each of them judged it; None where one does not have it."""

    review_id: ReviewId
    runs: tuple[Judged | None, ...]

    @property
    def known(self) -> Judged:
        """The review in the first run that has it."""
        return next(one for one in self.runs if one is not None)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """right, wrong or failed in each run; "" where a run does not have the review."""
        return tuple(_outcome(one) for one in self.runs)


def rows_of(sides: Sequence[Side]) -> list[Row]:
    """All scored reviews: first those that runs judge differently, then wrong ones, each by id."""
    ids = {id_ for side in sides for id_ in side.judged}
    rows = [Row(id_, tuple(side.judged.get(id_) for side in sides)) for id_ in ids]
    return sorted(rows, key=_order)


def _outcome(one: Judged | None) -> str:
    if one is None:
        return ""
    return "failed" if one.failed else "right" if one.right else "wrong"


def _order(row: Row) -> tuple[bool, bool, tuple[bool, int, str]]:
    answered = {one for one in row.outcomes if one in ("right", "wrong")}
    return (len(answered) < 2, row.known.right, id_order(row.review_id))

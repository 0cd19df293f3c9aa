"""Table 4 as readers see it: ours beside the published figures, with the notes that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.measures.recall import CUTOFFS
from eval.table4.rows import REFERENCE, TESTED, Row
from eval.tables import Table


def table(rows: Sequence[Row], split: str, facts: Mapping[str, Any], notes: Sequence[str]) -> Table:
    """The table of ``split``, whose rows have one n. ``facts`` are keys of its JSON form."""
    n = rows[0].n
    reference = next(row.method for row in rows if row.key == REFERENCE)
    return Table(
        title="Candidate retrieval (Table 4)",
        caption=f"Recall@k in percent over the {n} reviews of {split} whose product is in "
        "the knowledge base, with 95 % intervals (bootstrap over gold products); beside it the paper's, "
        "which are of its own data.",
        columns=(
            *("Method", "Modality"),
            *(name for k in CUTOFFS for name in (f"R@{k}", f"R@{k} paper")),
            *("n", "seconds", "p", "p corrected"),
        ),
        rows=tuple(row.cells(CUTOFFS) for row in rows),
        notes=(
            f"p: exact McNemar test on Recall@{TESTED} against {reference}, the paper's last row; "
            "corrected for all rows tested (Benjamini and Hochberg)",
            "paper: arXiv v1, Table 4; in brackets what is known at second hand only",
            "seconds: encoding of the reviews, scoring and ranking; what several rows need counts for each",
            *notes,
            *(f"{row.method}: not run, {row.missing}" for row in rows if row.missing),
        ),
        data={**facts, "n": n, "reference": REFERENCE, "rows": list(rows)},
    )

"""How far people agree beyond chance: Cohen's kappa for two of them, Fleiss's for more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.dataset.construction.human.answers import Annotator
from ameli_llm.errors import MissingPackageError


@dataclass(frozen=True)
class Agreement:
    """``kappa`` is 1 for full agreement and 0 for that of chance, None where it is not defined.

    ``items`` are the reviews that all of the ``annotators`` have answered; "cannot tell" is an answer.
    """

    measure: str
    kappa: float | None
    items: int
    annotators: int

    def content(self) -> dict[str, Any]:
        """The numbers as JSON."""
        return {
            "measure": self.measure,
            "kappa": self.kappa,
            "items": self.items,
            "annotators": self.annotators,
        }


def agreement(people: Sequence[Annotator]) -> Agreement | None:
    """The agreement of two or more people on what all of them have answered; None for fewer than two.

    Raises MissingPackageError without scikit-learn, for two.
    """
    if len(people) < 2:
        return None
    shared = sorted(set.intersection(*(set(one.choices) for one in people)), key=repr)
    rows = [[one.choices[id_] for one in people] for id_ in shared]
    if len(people) == 2:
        return Agreement("Cohen's kappa", cohen(rows) if rows else None, len(rows), 2)
    return Agreement("Fleiss's kappa", fleiss(rows) if rows else None, len(rows), len(people))


def cohen(rows: Sequence[Sequence[str]]) -> float | None:
    """Kappa of two raters (Cohen 1960); None where both always give the same one answer."""
    if len({choice for row in rows for choice in row}) < 2:
        return None
    try:
        from sklearn.metrics import cohen_kappa_score
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "retrieval") from error
    return float(cohen_kappa_score([row[0] for row in rows], [row[1] for row in rows]))


def fleiss(rows: Sequence[Sequence[str]]) -> float | None:
    """Kappa of many raters, as many for each row (Fleiss 1971, equations 1 to 7); None as for ``cohen``.

    With n raters and n_ij of them giving row i the answer j, agreement on row i is
    P_i = (sum_j n_ij^2 - n) / (n (n - 1)), by chance it is P_e = sum_j p_j^2 with the share p_j of answer j,
    and kappa is (mean P_i - P_e) / (1 - P_e).
    """
    raters = len(rows[0])
    counts = [Counter(row) for row in rows]
    on_rows = [(sum(n * n for n in c.values()) - raters) / (raters * (raters - 1)) for c in counts]
    total = sum(counts, Counter())
    chance = sum((n / (raters * len(rows))) ** 2 for n in total.values())
    if chance >= 1:
        return None
    return (sum(on_rows) / len(rows) - chance) / (1 - chance)

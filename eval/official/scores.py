"""Scores as the official AMELI code reports them: fusion weights are those that score best.

For comparison with its figures only (``eval.official.leaks``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product

import numpy as np

from ameli_llm.config import FusionConfig
from ameli_llm.fusion.combine import Parts, fuse
from ameli_llm.ids import ReviewId
from ameli_llm.runs import GoldRow, PredictionRow
from eval.official.leaks import OF_TRAINING, OUTSIDE, SAYS, Official, Trained
from eval.tuning.refusion import PAD, Array, Gold, ScoreTable

SHARES = tuple(round(0.1 * tenth, 1) for tenth in range(1, 9))
"""Shares of the retrieval and the text score that are tried; the image score has the rest."""


@dataclass(frozen=True)
class OfficialRows:
    """The rows that scores are counted on, and what they have of the official code's leaks."""

    rows: Sequence[PredictionRow]
    reproduced: tuple[str, ...] = ()
    not_reproduced: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        rows: Sequence[PredictionRow],
        gold: Mapping[ReviewId, GoldRow],
        fusion: FusionConfig,
        official: Official | None,
        trained: Trained,
    ) -> OfficialRows:
        """The rows with the weights that are best for them; ``fusion`` is the run's.

        ``official`` are the leaks that the run was linked with; an honest run (None) gets this one only.
        ``trained`` are those of its training.
        """
        wanted = official or Official.of(["weights_on_reported_split"])
        weights = None
        if wanted.weights_on_reported_split:
            weights = weights_on(rows, {review: row.gold for review, row in gold.items()}, fusion)
        done = replace(wanted, weights_on_reported_split=weights is not None)
        return cls(
            [reweighted(row, weights) for row in rows] if weights else rows,
            (*(SAYS[name] for name in done.names), *(OF_TRAINING.get(name, name) for name in trained.leaks)),
            not_reproduced(done, trained, linked=official is not None),
        )


def not_reproduced(official: Official, trained: Trained, linked: bool) -> tuple[str, ...]:
    """Every leak that the run lacks, with the reason; ``linked``: by ``link --official``."""
    reasons = {
        "gold_keys": "no attribute was asked for",
        "titles_as_attributes": "no attribute was read",
        "options_in_rank_order": "no model chose among options",
        "weights_on_reported_split": "nothing to choose by, or the mismatch filter follows the sum",
    }
    when_linking = "it has to be done when linking: link --official"
    missing = []
    for name in (field.name for field in fields(official) if not getattr(official, field.name)):
        here = linked or name == "weights_on_reported_split"
        missing.append(f"{SAYS[name]} ({reasons.get(name, 'switched off') if here else when_linking})")
    lacking = [says for name, says in OF_TRAINING.items() if name not in trained.leaks]
    missing += [f"{says} ({trained.otherwise})" for says in lacking]
    return (*missing, *(f"{name} ({reason})" for name, reason in OUTSIDE.items()))


def weights_on(rows: Sequence[PredictionRow], gold: Gold, fusion: FusionConfig) -> FusionConfig | None:
    """The fusion weights with the most right answers on these very reviews; the configured ones if equal.

    Tried are shares of the three scores, each in units of its standard deviation. None when there is no
    choice: without gold, without text and image scores, when the mismatch filter decided after the sum, or
    when the scores are no such sum (all weights 0: a baseline's).
    """
    if not (fusion.retrieval or fusion.text or fusion.image):
        return None
    table = ScoreTable.of(rows, gold)
    units = [_spread(part) for part in (table.retrieval, table.text, table.image)]
    if fusion.mismatch_filter or not any(units[1:]) or not (table.right != PAD).any():
        return None
    best, most = fusion, _right(table, fusion)
    for retrieval, text in product(SHARES, SHARES):
        if retrieval + text > 1:
            continue
        shares = (retrieval, text, 1 - retrieval - text)
        weights = [share / unit if unit else 0.0 for share, unit in zip(shares, units, strict=True)]
        tried = fusion.model_copy(update=dict(zip(("retrieval", "text", "image"), weights, strict=True)))
        if (hits := _right(table, tried)) > most:
            best, most = tried, hits
    return best


def reweighted(row: PredictionRow, fusion: FusionConfig) -> PredictionRow:
    """The row with its compared candidates in the order that ``fusion`` gives; its answer stays."""
    compared = {one.entity_id: one for one in row.candidates[: row.compared]}
    parts = [
        Parts(one.entity_id, one.retrieval_score, one.text_score, one.image_score)
        for one in compared.values()
    ]
    first = [
        compared[part.entity_id].model_copy(update={"score": score})
        for score, part in fuse(row.review_id, parts, fusion)
    ]
    return row.model_copy(update={"candidates": (*first, *row.candidates[row.compared :])})


def _right(table: ScoreTable, fusion: FusionConfig) -> int:
    best = table.fused(fusion).argmax(axis=1)
    return int(((best == table.right) & (table.right != PAD)).sum())


def _spread(scores: Array) -> float:
    """Standard deviation of the scores that are there, 0 without any."""
    known = scores[~np.isnan(scores)]
    return float(known.std()) if len(known) else 0.0

"""Chooses the share of the text in the sums of Table 4, on reviews that are not reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Progress
from eval.table4.methods import Pair
from eval.table4.ranking import RATIOS, Rows, Table4, batches
from retrieval.retrievers.retriever import Query

CHOSEN_BY = 10
"""Ratios are chosen by recall at this cutoff."""


@dataclass(frozen=True)
class Choice:
    """The share of the text in a sum, with its recall on the reviews it was chosen on."""

    ratio: float
    recall_10: float
    recall_1: float


def choose_ratios(
    paper: Table4, queries: Sequence[Query], gold: Mapping[ReviewId, EntityId], progress: Progress
) -> dict[Pair, Choice]:
    """The best share of the text for each fused pair, before the prior's filter (official code).

    By Recall@10 over these reviews, then Recall@1, then the nearer to one half, then the smaller.
    """
    hits: dict[Pair, Rows] = {}
    for done, batch in batches(queries):
        right = paper.rows_of([gold[query.review.id] for query in batch])
        for pair, rankings in paper.mixtures(batch, CHOSEN_BY).items():
            found = [((rows == right).sum(), (rows[:, :1] == right).sum()) for rows in rankings]
            hits[pair] = hits.get(pair, np.zeros((len(RATIOS), 2), np.int64)) + np.array(found, np.int64)
        progress("weights", done, len(queries))
    chosen = {}
    for pair, counts in hits.items():
        ranks = [(*count, -abs(2 * i + 1 - len(RATIOS)), -i) for i, count in enumerate(counts.tolist())]
        best = ranks.index(max(ranks))
        ten, one, *_ = ranks[best]
        chosen[pair] = Choice(RATIOS[best], ten / len(queries), one / len(queries))
    return chosen

"""Stored scores fused anew: the same answers as the linker's own fusion."""

from __future__ import annotations

import pytest

from ameli_llm.config import FusionConfig
from ameli_llm.errors import AmeliError
from ameli_llm.fusion.combine import Parts, fuse
from ameli_llm.runs import CandidateRow, PredictionRow
from ameli_llm.types import State
from eval.tuning.refusion import Refusion, ScoreTable


def row(
    review: int, scores: list[tuple[int, float, float | None, float | None]], state: State
) -> PredictionRow:
    candidates = tuple(
        CandidateRow(entity_id=i, retrieval_score=r, text_score=t, image_score=v, score=r)
        for i, r, t, v in scores
    )
    linked = state is State.LINKED
    return PredictionRow(
        review_id=review,
        state=state,
        entity_id=scores[0][0] if linked and scores else None,
        confidence=0.5,
        candidates=candidates,
        compared=len(candidates),
    )


ROWS = [
    row(1, [(10, 1.0, 0.0, None), (20, 0.5, 3.0, None)], State.LINKED),
    row(2, [(10, 1.0, None, 0.2), (20, 0.9, None, None), (30, 0.8, None, 0.9)], State.LINKED),
    row(3, [(10, 1.0, 1.0, 1.0), (20, 0.9, 0.0, 0.0)], State.ENGINE_ERROR),
    row(4, [], State.ABSTAINED),
]
GOLD: dict[int, int | None] = {1: 20, 2: 30, 3: 10, 4: None}


@pytest.mark.parametrize(
    ("text", "image", "hits"),
    [(0.0, 0.0, 0), (1.0, 0.0, 1), (0.0, 1.0, 1), (1.0, 1.0, 2)],
)
def test_weights_change_the_answers(text: float, image: float, hits: int) -> None:
    scored = Refusion(ScoreTable.of(ROWS, GOLD)).score(FusionConfig(text=text, image=image))
    # Two links and three reviews whose product is in the KB: F1 = 2 x hits / 5.
    assert scored.end_to_end_f1.value == pytest.approx(2 * hits / 5)
    assert scored.states == {"linked": 2, "nil": 0, "abstained": 1, "invalid_output": 0, "engine_error": 1}


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.5, 2.0, 1.0), (0.0, 1.0, 3.0)])
def test_the_best_is_the_one_that_the_linker_would_choose(weights: tuple[float, float, float]) -> None:
    fusion = FusionConfig(retrieval=weights[0], text=weights[1], image=weights[2])
    table = ScoreTable.of(ROWS, GOLD)
    best = table.fused(fusion).argmax(axis=1)
    for position in (0, 1, 2):
        parts = [
            Parts(c.entity_id, c.retrieval_score, c.text_score, c.image_score)
            for c in ROWS[position].candidates
        ]
        chosen = fuse(ROWS[position].review_id, parts, fusion)[0][1].entity_id
        assert table.ids[position][best[position]] == chosen


def test_the_mismatch_filter_needs_a_new_run() -> None:
    with pytest.raises(AmeliError, match=r"^The mismatch filter cannot be applied to stored scores\."):
        Refusion(ScoreTable.of(ROWS, GOLD)).score(FusionConfig(mismatch_filter=True))

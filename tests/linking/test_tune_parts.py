from __future__ import annotations

import numpy as np
import pytest

from ameli_llm.config import FusionConfig
from ameli_llm.runs import CandidateRow, PredictionRow
from ameli_llm.types import State
from eval.tuning.tune import _nil_threshold, _precision_threshold, calibrate, fit_fusion


@pytest.mark.parametrize(
    ("probabilities", "hit", "in_kb", "threshold"),
    [
        # Nil for the two lowest costs no hit.
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 2, 0.5),
        ([0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1], 2, 0.3),
        # A product that is in the knowledge base more likely than not is no nil, however wrong the links.
        ([0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1], 2, 0.0),
        # The hit at 0.1 is worth more than the miss at 0.2 costs.
        ([0.1, 0.2, 0.8, 0.9], [1, 0, 1, 1], 3, 0.0),
        ([0.5, 0.5], [1, 0], 1, 0.0),
        ([0.3, 0.4], [0, 0], 2, 0.0),
        ([0.3, 0.4], [1, 1], 2, 0.0),
        ([], [], 0, 0.0),
    ],
)
def test_the_nil_threshold_has_the_best_f1(
    probabilities: list[float], hit: list[int], in_kb: int, threshold: float
) -> None:
    assert _nil_threshold(np.array(probabilities), np.array(hit, dtype=bool), in_kb) == threshold


@pytest.mark.parametrize(
    ("confidences", "hit", "precision", "threshold"),
    [
        ([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], 0.5, 0.2),
        ([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], 0.6, 0.4),
        ([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], 0.9, 0.8),
        ([0.2, 0.8], [1, 0], 0.9, 1.0),
        # Links of equal confidence are kept or withheld together.
        ([0.5, 0.5, 0.9], [1, 0, 1], 0.9, 0.9),
        ([], [], 0.9, 1.0),
    ],
)
def test_the_precision_threshold_is_the_lowest_that_holds(
    confidences: list[float], hit: list[int], precision: float, threshold: float
) -> None:
    assert _precision_threshold(np.array(confidences), np.array(hit, dtype=bool), precision) == threshold


def row(review: int, *candidates: tuple[float, float | None, float | None]) -> PredictionRow:
    """Candidates 1, 2, 3, ... with their retrieval, text and image score."""
    made = [
        CandidateRow(entity_id=n, retrieval_score=r, text_score=t, image_score=v, score=r)
        for n, (r, t, v) in enumerate(candidates, start=1)
    ]
    best = tuple(sorted(made, key=lambda c: (-c.score, c.entity_id)))
    return PredictionRow(
        review_id=review,
        state=State.LINKED,
        entity_id=best[0].entity_id,
        confidence=0.5,
        candidates=best,
        compared=len(best),
    )


def test_text_that_tells_gets_weight_and_images_that_do_not_get_none() -> None:
    rows = [row(n, (1.0, -1.0, 0.0), (0.5, 2.0, 0.0)) for n in range(4)]
    rows += [row(n, (1.0, 2.0, 0.0), (0.5, 1.0, 0.0)) for n in range(4, 8)]
    fusion = fit_fusion(rows, {n: 2 if n < 4 else 1 for n in range(8)})
    assert (fusion.retrieval, fusion.image) == (1.0, 0.0)
    assert fusion.text > 0.5 / 3


@pytest.mark.parametrize("gold", [{0: None, 1: None}, {0: 99, 1: 99}])
def test_nothing_to_fit_leaves_retrieval_alone(gold: dict[int, int | None]) -> None:
    rows = [row(n, (1.0, 0.0, 0.0), (0.5, 2.0, 1.0)) for n in range(2)]
    assert fit_fusion(rows, gold) == FusionConfig(retrieval=1.0, text=0.0, image=0.0)


@pytest.mark.parametrize("part", [None, 0.0])
def test_scores_that_are_missing_everywhere_get_no_weight(part: float | None) -> None:
    fusion = fit_fusion([row(n, (1.0, part, part), (0.5, part, part)) for n in range(3)], {0: 1, 1: 1, 2: 2})
    assert (fusion.text, fusion.image) == (0.0, 0.0)


def test_calibration_without_reviews_outside_the_kb_never_answers_nil() -> None:
    rows = [row(n, (1.0 + n % 3, None, None), (0.5, None, None)) for n in range(9)]
    fusion = calibrate(rows, {n: 1 if n % 3 else 2 for n in range(9)}, FusionConfig(), None)
    assert set(fusion.calibration) == {"link"}
    assert (fusion.nil_threshold, fusion.abstain_threshold) == (0.0, 0.0)


def test_calibration_learns_what_nil_looks_like() -> None:
    """Reviews outside the KB have no candidate that stands out."""
    rows = [row(n, (5.0 if n % 2 else 0.1, None, None), (0.0, None, None)) for n in range(20)]
    gold = {n: 1 if n % 2 else None for n in range(20)}
    fusion = calibrate(rows, gold, FusionConfig(), precision=0.9)
    assert set(fusion.calibration) == {"link", "nil"}
    assert 0.0 < fusion.nil_threshold <= 0.5
    assert fusion.calibration["nil"]["margin"] > 0

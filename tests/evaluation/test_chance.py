"""A scorer that gives every candidate the same score comes out at chance, however things are ordered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ameli_llm.config import FusionConfig, RunConfig
from ameli_llm.fusion.combine import Parts, demote, fuse
from ameli_llm.runs import CandidateRow, GoldRow, PredictionRow, RunFolder
from ameli_llm.ties import ranked
from ameli_llm.types import Review, State
from eval.baselines.answers import answers
from eval.baselines.baseline import Scored
from eval.baselines.declared import Wanted
from eval.baselines.tasks import tasks
from eval.evaluation import evaluate
from eval.published import published
from eval.table5.rows import baseline_rows, measure
from eval.tuning.refusion import Refusion, ScoreTable

K, REVIEWS, DEPTH = 10, 500, 20

Order = Callable[[int, list[int]], list[int]]

ORDERS: dict[str, Order] = {
    "gold first": lambda gold, others: [gold, *others],
    "gold last": lambda gold, others: [*others, gold],
    "smallest id first": lambda gold, others: sorted([gold, *others]),
    "greatest id first": lambda gold, others: sorted([gold, *others], reverse=True),
}
NUMBERINGS: dict[str, Callable[[int], tuple[int, int]]] = {
    "gold has the smallest ids": lambda n: (n, 10_000 + 100 * n),
    "gold has the greatest ids": lambda n: (1_000_000 + n, 100 * n),
}


def metrics(rows: Iterable[PredictionRow], gold: Mapping[Any, GoldRow], k: int, **options: Any) -> Any:
    """The metrics of rows, of which ``k`` candidates were compared and ``depth`` kept."""
    sizes = {"candidates": k, "depth": options.pop("depth", 100)}
    config = RunConfig.model_validate({"retrieval": sizes})
    return SimpleNamespace(**evaluate(list(rows), gold, config, **options).metrics)


Lists = list[tuple[int, list[int]]]
"""(gold, ids of all candidates) of each review, the review's id being its place."""


def lists(order: str, numbering: str, size: int) -> Lists:
    made = []
    for number in range(REVIEWS):
        gold, first = NUMBERINGS[numbering](number)
        made.append((gold, ORDERS[order](gold, [first + i for i in range(size - 1)])))
    return made


def row(review_id: int, order: Sequence[int]) -> PredictionRow:
    candidates = tuple(
        CandidateRow(entity_id=id_, retrieval_score=0.5, text_score=1.0, image_score=0.2, score=0.7)
        for id_ in order
    )
    return PredictionRow(
        review_id=review_id,
        state=State.LINKED,
        entity_id=order[0],
        confidence=0.1,
        candidates=candidates,
        compared=min(K, len(candidates)),
    )


def near(share: float, chance: float, n: int = REVIEWS) -> bool:
    """Within four standard errors of ``n`` draws."""
    return abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / n)


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("order", ORDERS)
def test_fusion_and_filter(order: str, numbering: str) -> None:
    hits = 0
    for review, (gold, ids) in enumerate(lists(order, numbering, K)):
        ranking = demote(fuse(review, [Parts(i, 0.5, 1.0, None) for i in ids], FusionConfig()), set())
        hits += ranking[0][1].entity_id == gold
    assert near(hits / REVIEWS, 1 / K)


@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("order", ORDERS)
def test_recall_and_refusion(order: str, numbering: str) -> None:
    made = lists(order, numbering, DEPTH)
    rows, gold = [], {}
    for review, (right, ids) in enumerate(made):
        chosen = [ids[i] for i in ranked(review, ids, [0.0] * len(ids))]
        rows.append(row(review, chosen))
        gold[review] = GoldRow(gold=right)
    scores = metrics(rows, gold, K, depth=DEPTH)
    assert scores.recall["1"] is not None
    assert scores.recall["10"] is not None
    assert near(scores.recall["1"].value, 1 / DEPTH)
    assert near(scores.recall["10"].value, 10 / DEPTH)
    assert near(scores.end_to_end_f1.value, 1 / DEPTH)
    assert abs(scores.disambiguation_f1.value - 1 / K) < 0.04
    again = Refusion(ScoreTable.of(rows, {r: g.gold for r, g in gold.items()})).score(FusionConfig())
    assert again.end_to_end_f1.value == pytest.approx(scores.end_to_end_f1.value)


def test_the_order_of_the_file_changes_no_score() -> None:
    made = lists("gold first", "gold has the smallest ids", DEPTH)
    gold = {review: GoldRow(gold=right) for review, (right, _) in enumerate(made)}
    rows = [row(review, ids) for review, (_, ids) in enumerate(made)]
    shuffled = [one.model_copy(update={"candidates": one.candidates[::-1]}) for one in rows[::-1]]
    first, second = (metrics(r, gold, K, depth=DEPTH).recall for r in (rows, shuffled))
    assert first == second


# A baseline, from candidates over tasks and scores to answers


def answered(
    made: Lists, scorer: Callable[[int], Scored], backwards: bool = False
) -> tuple[list[PredictionRow], dict[int, GoldRow]]:
    """The whole path of a baseline on what a retrieval without a preference leaves behind; and gold."""
    step = -1 if backwards else 1
    rows = [row(review, ids) for review, (_, ids) in enumerate(made)][::step]
    reviews = [Review(id=review) for review in range(len(made))][::step]
    asked = tasks(rows, reviews, K)
    scored = [scorer(len(task.candidates)) for task in asked]
    gold = {review: GoldRow(gold=right) for review, (right, _) in enumerate(made)}
    return answers({row.review_id: row for row in rows}, asked, scored, seconds=1.0), gold


def measured(made: Lists, scorer: Callable[[int], Scored]) -> Any:
    return metrics(*answered(made, scorer), K, depth=DEPTH)


def constant(size: int) -> Scored:
    same = np.full(size, 0.25, dtype=np.float32)
    return Scored(same, text=same, image=same)


def silent(size: int) -> Scored:
    return Scored(np.full(size, np.nan, dtype=np.float32))


def first_is_best(size: int) -> Scored:
    return Scored(-np.arange(size, dtype=np.float32))


@pytest.mark.parametrize("scorer", [constant, silent])
@pytest.mark.parametrize("numbering", NUMBERINGS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_scorer_without_a_preference_is_at_chance(
    order: str, numbering: str, scorer: Callable[[int], Scored]
) -> None:
    m = measured(lists(order, numbering, DEPTH), scorer)
    for cut in (1, 10):
        recall = m.recall[str(cut)]
        assert recall is not None
        assert near(recall.value, cut / DEPTH)
    assert near(m.end_to_end_f1.value, 1 / DEPTH)
    assert near(m.precision.value, 1 / DEPTH)
    assert near(m.accuracy.value, 1 / DEPTH)
    assert near(m.disambiguation_f1.value, 1 / K, m.disambiguation_f1.n)
    assert near(m.disambiguation_f1.n / REVIEWS, K / DEPTH)
    assert m.states["linked"] == REVIEWS


def test_the_order_of_reviews_and_candidates_changes_nothing() -> None:
    config = RunConfig.model_validate({"retrieval": {"candidates": K, "depth": DEPTH}})
    forth = answered(lists("gold first", "gold has the smallest ids", DEPTH), constant)
    back = answered(lists("gold last", "gold has the smallest ids", DEPTH), constant, backwards=True)
    assert [row.review_id for row in forth[0]] == [row.review_id for row in back[0]][::-1]
    first, second = (evaluate(*one, config).document() for one in (forth, back))
    assert first.pop("seconds") == pytest.approx(second.pop("seconds"))
    assert first == second
    assert near(first["calibration"]["ece"] + 1 / DEPTH, 1 / K)


def test_the_measure_sees_a_preference() -> None:
    made = lists("gold first", "gold has the smallest ids", DEPTH)
    ordered = [(gold, sorted(ids)) for gold, ids in made]
    chance = measured(ordered, first_is_best).disambiguation_f1
    assert near(chance.value, 1 / K, chance.n)
    assert measured([(gold, [gold]) for gold, _ in made], first_is_best).end_to_end_f1.value == 1.0


def test_the_table_calls_only_a_preference_significant(write_run: Callable[..., RunFolder]) -> None:
    """The one that sees gold does so for a fifth of the reviews."""
    made = lists("gold first", "gold has the smallest ids", DEPTH)
    rows, gold = answered(made, constant)
    knowing = [
        one.model_copy(update={"entity_id": gold[one.review_id].gold}) if one.review_id % 5 == 0 else one
        for one in rows
    ]
    config = {"config": {"retrieval": {"candidates": K, "depth": DEPTH}}}
    runs = [write_run(each, gold, name, config) for name, each in (("blind", rows), ("knowing", knowing))]
    two = baseline_rows(published("table5"), Wanted())[:2]
    blind, seeing = (one.against_chance for one in measure(list(zip(two, runs, strict=True))))
    assert blind.chance == seeing.chance == pytest.approx(1 / K)
    assert blind.p > 0.05
    assert seeing.p < 1e-6

"""Tasks from a run, folds without a common product, and scores made into the lines of a run folder."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from ameli_llm.dataset.folds import HELD_OUT, Fold, folds
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.runs import CandidateRow, PredictionRow
from ameli_llm.ties import chance, ranked
from ameli_llm.types import Review, State
from eval.baselines.answers import answers
from eval.baselines.baseline import Scored
from eval.baselines.tasks import examples, tasks

N, K = 500, 10
LOW, HIGH = binom.interval(0.999, N, 1 / K)
NAN = float("nan")


def row(review: int, scores: dict[int, float]) -> PredictionRow:
    """A run's prediction; its own final score is the reverse of retrieval's."""
    candidates = [CandidateRow(entity_id=i, retrieval_score=s, score=-s) for i, s in scores.items()]
    return PredictionRow(
        review_id=review,
        state=State.LINKED,
        entity_id=None,
        confidence=0.5,
        candidates=tuple(sorted(candidates, key=lambda one: -one.score)),
    )


def answer(scores: dict[int, float], *totals: float, k: int = K, **parts: Any) -> PredictionRow:
    rows = {1: row(1, scores)}
    (task,) = tasks(rows.values(), [Review(1)], k)
    scored = Scored(np.array(totals, np.float32), **{n: np.array(v, np.float32) for n, v in parts.items()})
    return answers(rows, [task], [scored], 3.0)[0]


def test_tasks_are_the_first_k_by_retrieval() -> None:
    rows = [row(1, {7: 0.1, 8: 0.9, 9: 0.5}), row(2, {4: 1.0})]
    two, one = tasks(rows, [Review(2), Review(1)], 2)
    assert (two.entity_ids, one.entity_ids) == ([4], [8, 9])
    assert [candidate.score for candidate in one.candidates] == [0.9, 0.5]
    with pytest.raises(AmeliError, match=r"The run has no prediction for review 3\. Let link finish"):
        tasks(rows, [Review(3)], 2)


def test_examples_keep_gold_that_is_no_candidate() -> None:
    fold = Fold("dev", (Review(1), Review(2)), {1: 9, 2: 7})
    rows = [row(1, {7: 0.1, 9: 0.5}), row(2, {4: 1.0})]
    assert [(e.task.entity_ids, e.gold) for e in examples(rows, fold, 5)] == [([9, 7], 9), ([4], 7)]


def test_the_first_by_total_is_linked() -> None:
    found = answer({1: 3.0, 2: 2.0, 3: 1.0}, 0.1, 0.7, 0.4, text=[1, 2, NAN], image=[4, 5, 6])
    assert (found.state, found.entity_id, found.compared) == (State.LINKED, 2, 3)
    assert [c.entity_id for c in found.candidates] == [2, 3, 1]
    assert [c.text_score for c in found.candidates] == [2, None, 1]
    assert [c.image_score for c in found.candidates] == [5, 6, 4]
    assert found.confidence == pytest.approx(np.exp(0.7) / np.exp([0.1, 0.7, 0.4]).sum(), abs=1e-6)
    assert found.seconds == 3.0


def test_candidates_that_were_not_scored_stay_below_in_retrievals_order() -> None:
    found = answer({1: 3.0, 2: 2.0, 3: 1.0, 4: 9.0, 5: 0.5}, 0.1, 0.7, k=2)
    assert [c.entity_id for c in found.candidates] == [1, 4, 2, 3, 5]
    scores = [c.score for c in found.candidates]
    assert scores == sorted(scores, reverse=True)
    assert found.compared == 2


def test_a_missing_score_counts_as_the_mean() -> None:
    found = answer({1: 3.0, 2: 2.0, 3: 1.0}, 0.2, NAN, 0.6)
    assert [c.entity_id for c in found.candidates] == [3, 2, 1]
    assert found.candidates[1].score == pytest.approx(0.4)


def test_no_candidate_abstains() -> None:
    found = answer({})
    assert (found.state, found.entity_id, found.confidence) == (State.ABSTAINED, None, 0.0)
    assert found.error == "no candidates"


@pytest.mark.parametrize("value", [0.0, 1.5, NAN])
@pytest.mark.parametrize("order", ["gold first", "gold last", "ascending", "descending"])
@pytest.mark.parametrize("ids", ["smallest", "largest", "any"])
def test_a_constant_scorer_is_at_chance(value: float, order: str, ids: str) -> None:
    rows, golds = drawn_lists(order, ids)
    made = tasks(rows.values(), [Review(i) for i in rows], K)
    assert [task.entity_ids[0] == golds[task.review.id] for task in made].count(True) in (
        {"gold first": {N}, "gold last": {0}}.get(order) or range(N + 1)
    )
    scored = [Scored(np.full(K, value, np.float32)) for _ in made]
    hits = sum(one.entity_id == golds[one.review_id] for one in answers(rows, made, scored, 1.0))
    assert LOW <= hits <= HIGH


@cache
def drawn_lists(order: str, ids: str) -> tuple[dict[int, PredictionRow], dict[int, int]]:
    """A row of ``K`` candidates for each of ``N`` reviews, and gold."""
    random = np.random.default_rng(11)
    rows, golds = {}, {}
    for review in range(N):
        drawn = sorted(random.choice(100_000, K, replace=False).tolist())
        gold = {"smallest": drawn[0], "largest": drawn[-1], "any": int(random.choice(drawn))}[ids]
        others = [i for i in drawn if i != gold]
        ordered = {
            "gold first": [gold, *others],
            "gold last": [*others, gold],
            "ascending": drawn,
            "descending": drawn[::-1],
        }[order]
        rows[review] = row(review, {entity: float(-place) for place, entity in enumerate(ordered)})
        golds[review] = gold
    return rows, golds


def test_ties_are_broken_alike_in_any_order() -> None:
    ids = [5, 9, 2, 7]
    first = [ids[i] for i in ranked(3, ids, [1, 1, 1, 1])]
    assert [ids[::-1][i] for i in ranked(3, ids[::-1], [1, 1, 1, 1])] == first
    assert [ids[i] for i in ranked(3, ids, [0, 1, 0, 2])][:2] == [7, 9]
    assert chance(3, 5) == chance(3, 5) != chance(5, 3)
    orders = {tuple(ranked(review, ids, [1, 1, 1, 1])) for review in range(300)}
    assert len(orders) == 24, "each order of four comes up"


def write(root: Path, splits: dict[str, list[tuple[int, int | None]]]) -> Path:
    products = sorted({gold for pairs in splits.values() for _, gold in pairs if gold})
    records = [{"id": i, "product_name": f"P {i}", "product_category": "C"} for i in products]
    root.mkdir()
    (root / "products.json").write_text(json.dumps(records))
    for name, pairs in splits.items():
        (root / name).mkdir()
        reviews = [
            {
                "review_id": review,
                "header": "h",
                "body": "b",
                "mention": "m",
                "gold_entity_info": {"id": gold},
            }
            for review, gold in pairs
        ]
        (root / name / "reviews.json").write_text(json.dumps(reviews))
    return root


def test_folds_share_no_product(tmp_path: Path) -> None:
    splits = {"train": [(1, 10), (2, 11), (3, None), (4, 12)], "dev": [(5, 12), (6, 13), (7, None)]}
    train, dev = folds(load_dataset(write(tmp_path / "d", splits)), "train", 0)
    assert ([r.id for r in train.reviews], dict(train.gold)) == ([1, 2], {1: 10, 2: 11})
    assert ([r.id for r in dev.reviews], dict(dev.gold)) == ([5, 6], {5: 12, 6: 13})


def test_a_split_alone_is_divided_by_product(tmp_path: Path) -> None:
    pairs: list[tuple[int, int | None]] = [(i, 100 + i // 4) for i in range(80)]
    data = load_dataset(write(tmp_path / "d", {"dev": pairs}))
    train, dev = folds(data, "dev", 0)
    assert len(set(dev.gold.values())) == HELD_OUT * 20
    assert not set(train.gold.values()) & set(dev.gold.values())
    assert sorted([*train.gold, *dev.gold]) == list(range(80))
    assert folds(data, "dev", 0)[1] == dev
    assert set(folds(data, "dev", 1)[1].gold.values()) != set(dev.gold.values())


def test_folds_that_are_empty(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="has no review to train on: train has too few"):
        folds(load_dataset(write(tmp_path / "a", {"train": [(1, 9)], "dev": [(2, 9)]})), "train", 0)
    with pytest.raises(AmeliError, match="has no review to choose on: dev has too few"):
        folds(load_dataset(write(tmp_path / "b", {"dev": [(1, 9), (2, 9)]})), "dev", 0)

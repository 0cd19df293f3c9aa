from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import ir_measures
import pytest
from ir_measures import Success

from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.evaluation import evaluate_run, write_evaluation
from eval.measures.recall import CUTOFFS
from eval.trec import qrels_lines, retrieval_lines, run_lines

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]


def test_lines_are_ours_to_the_byte(predict: Predict, golds: Golds) -> None:
    rows = [predict(2, 7, {7: 0.1, 8: 0.9}, parts={7: (1.0, None), 8: (0.0, None)}), predict(1, None)]
    assert run_lines(rows) == "2 Q0 7 1 2 ameli-llm\n2 Q0 8 2 1 ameli-llm\n"
    assert retrieval_lines(rows) == "2 Q0 8 1 2 ameli-llm\n2 Q0 7 2 1 ameli-llm\n"
    assert qrels_lines(golds({2: 7, 1: None, 3: 9})) == "2 0 7 1\n3 0 9 1\n"


@pytest.fixture
def random_run(predict: Predict, golds: Golds, write_run: Callable[..., RunFolder]) -> RunFolder:
    """200 reviews, 120 candidates each with many equal scores, the answer the best by fused score."""
    rng = random.Random(5)
    rows, gold = [], {}
    for review in range(200):
        scores = {entity: rng.randrange(30) / 30 for entity in rng.sample(range(400), 120)}
        parts = {entity: (rng.random(), None) for entity in list(scores)[:10]}
        row = predict(review, 1, scores, parts=parts)
        rows.append(row.model_copy(update={"entity_id": row.candidates[0].entity_id}))
        gold[review] = rng.choice([*scores, rng.randrange(400)])
    return write_run(rows, golds(gold))


def test_ir_measures_agrees(random_run: RunFolder, tmp_path: Path) -> None:
    evaluation = evaluate_run(random_run)
    write_evaluation(random_run, evaluation)

    def outside(file: str) -> dict[object, float]:
        qrels = list(ir_measures.read_trec_qrels(str(random_run.path / "qrels.trec")))
        run = list(ir_measures.read_trec_run(str(random_run.path / file)))
        return dict(ir_measures.calc_aggregate([Success @ k for k in CUTOFFS], qrels, run))

    theirs = outside("retrieval.trec")
    for k in CUTOFFS:
        ours = evaluation.metrics["recall"][str(k)]
        assert ours is not None
        assert theirs[Success @ k] == pytest.approx(ours.value)
    assert outside("run.trec")[Success @ 1] == pytest.approx(evaluation.metrics["end_to_end_f1"].value)

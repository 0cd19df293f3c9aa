"""A run of a model as a teacher: its values and its choices are the answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.instruction.exercises import Exercises
from ameli_llm.instruction.sources import sources_of
from ameli_llm.instruction.teacher import Teacher
from ameli_llm.runs import PredictionRow
from ameli_llm.types import AttributeValue, Evidence, Link, RankedCandidate, State, Usage
from tests.shared_setup import twin_of


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_of(tmp_path_factory, products=24, reviews=40, seed=1)


def write_run(folder: Path, twin: Path, *rows: PredictionRow) -> Path:
    digest = load_dataset(twin).digest
    manifest = {"spec": {"dataset": {"name": "twin", "split": "test", "products": digest}}}
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    lines = "".join(row.model_dump_json() + "\n" for row in rows)
    (folder / "predictions.jsonl").write_text(lines, encoding="utf-8")
    return folder


def answered(twin: Path, state: State = State.LINKED, prompt: int = 100) -> PredictionRow:
    """The first test review, linked to product 2 of 1, 2, 3 by a model that read one value in its body."""
    review = load_dataset(twin).split("test").reviews[0]
    word = review.body.split()[0]
    value = AttributeValue("Color", "Red", "llm", Evidence("body", 0, len(word), word))
    ruled = AttributeValue("Brand", "Acme", "rules", Evidence("body", 0, len(word), word))
    candidates = tuple(RankedCandidate(i, 1.0, 0.0, None, 1.0) for i in (1, 2, 3))
    linked = 2 if state is State.LINKED else None
    link = Link(review.id, state, linked, 0.9, candidates, (value, ruled), compared=3, usage=Usage(prompt, 5))
    return PredictionRow.of(link, "k")


def test_what_it_said_is_what_is_learned(twin: Path, tmp_path: Path) -> None:
    dataset = load_dataset(twin)
    (told,) = Teacher(write_run(tmp_path / "run", twin, answered(twin)), dataset, 0).told(0)
    assert {product.id for product in told.candidates} == {1, 2, 3}
    assert [(fact.key, fact.value) for fact in told.facts] == [("Color", "Red")]
    assert told.chosen is not None
    assert told.candidates[told.chosen].id == 2
    exercise = Exercises("compare/listwise").of([told], np.random.default_rng(0))
    assert exercise is not None
    assert exercise.examples[0].answer in ("A", "B", "C")


def test_none_of_them(twin: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", twin, answered(twin, State.NIL))
    exercise = Exercises("compare/listwise").of(
        Teacher(run, load_dataset(twin), 0).told(0), np.random.default_rng(0)
    )
    assert exercise is not None
    assert exercise.examples[0].answer == "0"


def test_what_is_no_teacher(twin: Path, tmp_path: Path) -> None:
    dataset = load_dataset(twin)
    silent = write_run(tmp_path / "silent", twin, answered(twin, prompt=0))
    with pytest.raises(AmeliError, match="has no review that a model answered"):
        Teacher(silent, dataset, 0)
    failed = write_run(tmp_path / "failed", twin, answered(twin, State.ENGINE_ERROR))
    with pytest.raises(AmeliError, match="has no review that a model answered"):
        Teacher(failed, dataset, 0)
    with pytest.raises(AmeliError, match="A teacher needs its dataset"):
        sources_of([], 0, failed)
    manifest = tmp_path / "silent" / "run.json"
    manifest.write_text(
        manifest.read_text(encoding="utf-8").replace(dataset.digest, "other"), encoding="utf-8"
    )
    with pytest.raises(AmeliError, match="is no run on the products of"):
        Teacher(silent, dataset, 0)

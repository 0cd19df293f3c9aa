"""Weights from several samples at once: each counts, in whatever order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import load_dataset
from ameli_llm.pipeline import Pipeline, open_pipeline
from ameli_llm.types import no_progress
from eval.tuning.pooled import Sample, tune_on_all
from eval.tuning.refusion import ScoreTable
from tests.shared_setup import twin_of

CHEAP = override(
    RunConfig(), ["retrieval.weights={title: 5.0, descriptor: 20.0}", "attributes.extractors=[rules]"]
)
OTHER = override(CHEAP, ["retrieval.weights={title: 5.0}"])


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Pipeline]]:
    """A twin, and the same without the retriever of pictures."""
    dataset = load_dataset(twin_of(tmp_path_factory, products=24, reviews=40, seed=1))
    index = tmp_path_factory.mktemp("index") / "kb"
    with ExitStack() as opened:
        yield [opened.enter_context(open_pipeline(dataset, config, index)) for config in (CHEAP, OTHER)]


def sample(pipeline: Pipeline, count: int = 100, split: str = "train") -> Sample:
    return Sample.of(pipeline, pipeline.dataset.split(split), count, 0, no_progress)


def test_a_sample_is_of_reviews_whose_product_is_known(pipelines: list[Pipeline]) -> None:
    whole, five = sample(pipelines[0]), sample(pipelines[0], 5)
    gold = whole.split.gold
    assert {review.id for review in whole.reviews} == {
        id for id, entity in gold.items() if entity is not None
    }
    assert five.reviews == whole.reviews[:5]
    assert len(five.choices) == 5
    assert all(scores.shape[1] == len(five.names) == 2 for scores, _ in five.choices)


def test_the_order_of_samples_does_not_matter(pipelines: list[Pipeline]) -> None:
    one, other = sample(pipelines[0]), sample(pipelines[0], split="test")
    tuned = tune_on_all(CHEAP, [one, other], no_progress)
    back = tune_on_all(CHEAP, [other, one], no_progress)
    assert tuned.retrieval.weights == pytest.approx(back.retrieval.weights, rel=1e-2)
    alone = tune_on_all(CHEAP, [one], no_progress)
    assert alone.retrieval.weights != pytest.approx(tuned.retrieval.weights, rel=1e-2)
    assert set(tuned.retrieval.weights) == {"title", "descriptor"}
    assert tuned.fusion.nil_threshold == CHEAP.fusion.nil_threshold


def test_tables_are_joined_row_by_row(pipelines: list[Pipeline]) -> None:
    splits = ("train", "test")
    readings = [sample(pipelines[0], 4, split).reading({"title": 1.0}, no_progress) for split in splits]
    tables = [reading.table({}) for reading in readings]
    both = ScoreTable.joined(tables)
    assert both.ids == tables[0].ids + tables[1].ids
    assert both.right.tolist() == [*tables[0].right, *tables[1].right]
    for row, table in ((0, tables[0]), (4, tables[1])):
        np.testing.assert_array_equal(
            both.retrieval[row][table.present[0]], table.retrieval[0][table.present[0]]
        )


def test_other_retrievers_cannot_be_pooled(pipelines: list[Pipeline]) -> None:
    with pytest.raises(ValueError, match="same retrievers"):
        tune_on_all(CHEAP, [sample(pipelines[0]), sample(pipelines[1])], no_progress)


def test_weights_of_comparators_are_learned_too(pipelines: list[Pipeline]) -> None:
    tuned = tune_on_all(CHEAP, [sample(pipelines[0])], no_progress)
    assert set(tuned.comparison.weights) == {"names", "rules"}
    reading = sample(pipelines[0]).reading({"title": 1.0}, no_progress)
    rules, none = reading.table({"names": 0.0}), reading.table({"names": 0.0, "rules": 0.0})
    assert np.nanmax(np.abs(rules.text)) > 0
    assert np.nanmax(np.abs(none.text)) == 0

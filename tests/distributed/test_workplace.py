"""What is settled before Ray starts: blocks, what cannot be done there, and what a worker insists on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import load_dataset
from ameli_llm.distributed.blocks import STAGES, Batch, blocks
from ameli_llm.distributed.session import require
from ameli_llm.distributed.worker import Opening
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.pipeline import Pipeline, open_pipeline
from ameli_llm.types import Review
from tests.command import command
from tests.shared_setup import cache_of, twin_of

CHEAP = ("retrieval.weights={title: 5.0}", "retrieval.image_encoder=none", "attributes.extractors=[rules]")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_of(tmp_path_factory, products=24, reviews=40, seed=1)


@pytest.fixture(scope="module")
def pipeline(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))))
        with open_pipeline(load_dataset(small), override(RunConfig(), CHEAP)) as opened:
            yield opened


@pytest.mark.parametrize(
    ("size", "reviews", "sizes"),
    [
        (16, 100, [[16, 16], [16, 16], [16, 16], [4]]),
        (1, 40, [[1] * 32, [1] * 8]),
        (100, 250, [[100], [100], [50]]),
        (16, 0, []),
    ],
)
def test_a_block_is_of_whole_batches(size: int, reviews: int, sizes: Sequence[Sequence[int]]) -> None:
    ids = range(reviews)
    batches = [[Review(id) for id in ids[start : start + size]] for start in range(0, reviews, size)]
    made = list(blocks(batches, size))
    assert [[len(batch.reviews) for batch in block.batches] for block in made] == sizes
    assert [review.id for block in made for batch in block.batches for review in batch.reviews] == list(ids)
    assert [block.number for block in made] == list(range(len(sizes)))


def test_the_stages_one_after_the_other_are_the_flow(pipeline: Pipeline) -> None:
    reviews = pipeline.dataset.split("test").reviews
    batch = Batch(reviews)
    for stage in STAGES.values():
        batch = stage(pipeline.flow, batch)
    whole = pipeline.flow.link(reviews)
    assert [replace(link, seconds=0.0, stage_seconds={}) for link in batch.links] == [
        replace(link, seconds=0.0, stage_seconds={}) for link in whole
    ]
    assert [list(link.stage_seconds) for link in batch.links] == [list(link.stage_seconds) for link in whole]
    assert all(link.seconds == pytest.approx(sum(link.stage_seconds.values())) for link in batch.links)


def test_a_worker_opens_what_the_command_has(pipeline: Pipeline, small: Path) -> None:
    opening = Opening.of(pipeline, small)
    with_other_fusion = replace(opening, config=override(pipeline.config, ["fusion.text=7"]))
    opened = opening.open()
    try:
        assert opened.spec() == pipeline.spec()
    finally:
        opened.close()
    with pytest.raises(AmeliError, match=r"not of the same .*: spec.config.fusion.text was 0.3, now 7.0\."):
        with_other_fusion.open()


def test_a_worker_makes_no_index(pipeline: Pipeline, small: Path, tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match=f"No index at {tmp_path / 'none'}.*--index"):
        replace(Opening.of(pipeline, small), index=tmp_path / "none").open()
    assert not (tmp_path / "none").exists()


def test_without_ray_there_is_a_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"ray is not installed\. Type: .*\[ray\]"):
        require()


def test_a_client_s_address_is_refused(monkeypatch: pytest.MonkeyPatch, small: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    words = ("link", small, "--split", "test", "--out", tmp_path / "run", "--on", "ray")
    assert command(*words).error.startswith(
        "RAY_ADDRESS is ray://127.0.0.1:10001: Ray's client has no folder"
    )


def test_leaks_stay_in_one_process(pipeline: Pipeline, small: Path, tmp_path: Path) -> None:
    settings = [word for setting in CHEAP for word in ("--set", setting)]
    words = ("link", small, "--split", "test", "--out", tmp_path / "run", "--index", pipeline.index.folder)
    said = command(*words, *settings, "--on", "ray", "--official").error
    assert said == "--official links in this process only. Leave out --on."
    assert not (tmp_path / "run").exists()

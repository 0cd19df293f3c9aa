from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import Dataset, Split, load_dataset
from ameli_llm.ids import ReviewId
from ameli_llm.pipeline import open_pipeline
from ameli_llm.resolution import model_free
from tests.shared_setup import cache_of, made_once, twin_of
from tests.watching.planted import SETTINGS

CHEAP = model_free(override(RunConfig(), SETTINGS[:4]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, twin: Path) -> Path:
    """The cache folder of the tests of a file, with the index in it."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, folder / "cache")))
            with open_pipeline(load_dataset(twin), CHEAP):
                pass

    made = made_once(tmp_path_factory, "planted-index", make)
    own = cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))
    shutil.copytree(made / "cache" / "index", own / "index")
    return own


@pytest.fixture
def in_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is the one to use, and has no reply of an earlier test."""
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache))
    for path in cache.glob("replies.sqlite*"):
        path.unlink()


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_of(tmp_path_factory, products=24, reviews=40, seed=1)


@pytest.fixture(scope="module")
def dataset(twin: Path) -> Dataset:
    return load_dataset(twin)


@pytest.fixture(scope="module")
def split(dataset: Dataset) -> Split:
    return dataset.split("train")


@pytest.fixture(scope="module")
def known(cache: Path, dataset: Dataset, split: Split) -> list[ReviewId]:
    """Reviews whose product is among the candidates, and whose words no other review begins with."""
    starts = [review.body[:60] for review in split.reviews]
    assert len(set(starts)) == len(starts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(cache))
        with open_pipeline(dataset, CHEAP) as pipeline:
            found = pipeline.flow.retrieve(split.reviews)
    offered = {
        review.id: [one.entity_id for one in candidates[:8]]
        for review, candidates in zip(split.reviews, found, strict=True)
    }
    return [review for review, products in offered.items() if split.gold[review] in products]

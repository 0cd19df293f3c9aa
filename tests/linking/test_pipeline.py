"""An open pipeline: what its variants share with it, and what is closed with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ameli_llm import pipeline as module
from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.engines.cache import CachedEngine
from ameli_llm.errors import AmeliError
from ameli_llm.pipeline import Pipeline, assemble, open_pipeline
from eval.experiment import link_variants
from retrieval.index import Index

CHEAP = ("retrieval.weights={title: 1.0}", "retrieval.image_encoder=none", "attributes.extractors=[rules]")


@dataclass
class Opened:
    """What was opened and closed while a test ran."""

    engines: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    indexes: int = 0


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "twin"
    write_twin(root, products=20, reviews=12, seed=2, images=False)
    return root


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Counts what the pipeline really opens and closes."""
    seen = Opened()

    def engine_opened(config: RunConfig, *others: object) -> CachedEngine:
        seen.engines.append(config.engine.model)
        return open_engine(config, *others)

    def index_opened(*arguments: object) -> Index:
        seen.indexes += 1
        return open_index(*arguments)

    def engine_closed(engine: CachedEngine) -> None:
        seen.closed.append("engine")
        close_engine(engine)

    def index_closed(index: Index) -> None:
        seen.closed.append("index")
        close_index(index)

    open_engine, open_index = module.open_engine, module.open_or_build_index
    close_engine, close_index = CachedEngine.close, Index.close
    monkeypatch.setattr(module, "open_engine", engine_opened)
    monkeypatch.setattr(module, "open_or_build_index", index_opened)
    monkeypatch.setattr(CachedEngine, "close", engine_closed)
    monkeypatch.setattr(Index, "close", index_closed)
    return seen


@pytest.fixture(scope="module")
def asks(tiny_model: Path) -> tuple[str, ...]:
    """Settings under which a real model, made by the tests, is asked."""
    return "engine.name=transformers", f"engine.model={tiny_model}"


def config(*settings: str) -> RunConfig:
    return override(RunConfig(), [*CHEAP, *settings])


@pytest.fixture
def served(twin: Path, opened: Opened, asks: tuple[str, ...]) -> Iterator[Pipeline]:
    with open_pipeline(load_dataset(twin), config(*asks)) as pipeline:
        yield pipeline


def test_engine_and_index_are_closed(twin: Path, opened: Opened, asks: tuple[str, ...]) -> None:
    with open_pipeline(load_dataset(twin), config(*asks)):
        assert (opened.engines, opened.indexes, opened.closed) == (
            [asks[1].removeprefix("engine.model=")],
            1,
            [],
        )
    assert opened.closed == ["engine", "index"]


def test_a_part_that_cannot_be_made_leaves_nothing_open(
    twin: Path, opened: Opened, asks: tuple[str, ...]
) -> None:
    wrong = config(*asks, "retrieval.weights={gone: 1}")
    with pytest.raises(AmeliError, match="No retriever named 'gone'"):
        assemble(load_dataset(twin), wrong)
    assert sorted(opened.closed) == ["engine", "index"]


def test_a_wrong_template_is_found_before_anything_is_opened(
    twin: Path, opened: Opened, asks: tuple[str, ...]
) -> None:
    with pytest.raises(AmeliError, match="compare/gone"):
        assemble(load_dataset(twin), config(*asks, "comparison.template=compare/gone"))
    assert (opened.engines, opened.indexes) == ([], 0)


def test_no_engine_is_opened_where_nothing_asks_it(twin: Path, opened: Opened, asks: tuple[str, ...]) -> None:
    with open_pipeline(load_dataset(twin), config(*asks, "comparison.comparator=none")) as pipeline:
        assert (pipeline.engine, pipeline.spec()["engine"], opened.engines) == (None, None, [])


def test_a_variant_shares_what_is_open(served: Pipeline, opened: Opened, asks: tuple[str, ...]) -> None:
    changed = config(*asks, "fusion.text=2", "comparison.comparator=pairwise")
    variant = served.variant(changed)
    assert variant.index is served.index
    assert variant.engine is served.engine
    assert variant.flow.extractors["rules"] is served.flow.extractors["rules"]
    assert (variant.flow.fusion.text, variant.flow.panel.name) == (2.0, "pairwise")
    assert list(variant.templates) == ["compare/pairwise"]
    assert served.variant(config()).engine is None
    assert opened.indexes == 1
    with pytest.raises(ValueError, match="differ in encoders or engine"):
        served.variant(config("engine.name=transformers", "engine.model=other"))


def test_linking_variants_opens_each_model_once(twin: Path, opened: Opened, tmp_path: Path) -> None:
    data = load_dataset(twin)
    configs = {"a": config(), "b": config("fusion.text=0"), "c": config("comparison.comparator=none")}
    made = dict(link_variants(data, data.split("test"), configs, tmp_path, lambda *_: None))
    assert list(made) == ["a", "b", "c"]
    assert all((tmp_path / name / "metrics.json").is_file() for name in made)
    assert (opened.indexes, opened.closed) == (1, ["index"])

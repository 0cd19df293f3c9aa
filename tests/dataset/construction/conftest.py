from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.dataset.construction.build import Sources
from ameli_llm.dataset.construction.raw import raw_files
from ameli_llm.dataset.construction.settings import BuildSettings, read_settings
from ameli_llm.dataset.construction.similarity import Tools
from ameli_llm.dataset.importing.plan import plan_import
from retrieval.chunker import RuleChunker
from tests.dataset.construction.planting import Planted, plant


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A raw folder with something planted for every rule; nobody may change it."""
    return plant(tmp_path_factory.mktemp("planted") / "raw")


@pytest.fixture
def sources(planted: Planted) -> Sources:
    return Sources(planted.raw, plan_import(raw_files(planted.raw)))


@pytest.fixture
def settings() -> BuildSettings:
    """No models, and batches so small that there are many."""
    return read_settings(None, ["mentions.choose=longest", "batch=16"])


@pytest.fixture
def tools() -> Tools:
    return Tools(RuleChunker())


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

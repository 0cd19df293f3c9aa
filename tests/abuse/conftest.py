"""A small shop with its index, over encoders that are loaded in milliseconds, and commands in forks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import command
from tests.forked import Forks, forking
from tests.retrieval.tiny_sbert import tiny_sbert
from tests.shared_setup import cache_of, made_once, twin_of


@dataclass(frozen=True)
class Shop:
    """A dataset of 24 products and 40 reviews with photos, its index, and the configuration of both."""

    dataset: Path
    index: Path
    config: Path

    def words(self, *words: object) -> list[object]:
        """A command on the dataset: its name, what follows, and the configuration."""
        name, *others = words
        return [name, self.dataset, "--config", self.config, *others]


def configuration(text_model: str) -> dict[str, Any]:
    return {
        "retrieval": {
            "weights": {"sbert": 12.0, "tfidf": 10.0, "title": 2.0, "image": 15.0, "prior": 3.5},
            "text_model": text_model,
            "image_encoders": ["descriptor"],
        },
        "attributes": {"extractors": ["rules"]},
    }


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the index and the configuration, for reading."""

    def make(folder: Path) -> None:
        twin = twin_of(tmp_path_factory, products=24, reviews=40, seed=1)
        (folder / "config.yaml").write_text(yaml.safe_dump(configuration(str(tiny_sbert(tmp_path_factory)))))
        with pytest.MonkeyPatch.context() as patch:
            cache = cache_of(tmp_path_factory, folder / "cache")
            patch.setenv("AMELI_LLM_CACHE", str(cache))
            words = ["index", twin, "--config", folder / "config.yaml", "--out", folder / "index"]
            done = command(*words)
        assert done.code == 0, done

    return made_once(tmp_path_factory, "shop", make)


@pytest.fixture
def shop(made: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop, its index free to be damaged."""
    index = Path(shutil.copytree(made / "index", tmp_path / "index"))
    return Shop(twin_of(tmp_path_factory, products=24, reviews=40, seed=1), index, made / "config.yaml")


@pytest.fixture
def cache(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache folder."""
    return cache_of(tmp_path_factory, tmp_path / "cache")


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts commands, with what they import behind it."""
    with forking("chromadb", "onnxruntime") as forks:
        yield forks

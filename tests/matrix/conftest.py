"""One dataset with its index for the folder, and matrices over it with a planned model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ameli_llm.config import load_config
from ameli_llm.dataset.load import load_dataset
from ameli_llm.pipeline import open_or_build_index
from tests.matrix.planned import PlannedModel, write_dataset, write_template
from tests.shared_setup import cache_of, made_once

CONFIG: dict[str, Any] = {
    "retrieval": {"weights": {"title": 1.0}, "image_encoder": "none", "candidates": 6},
    "attributes": {"extractors": []},
    "comparison": {"comparators": ["listwise"]},
    "fusion": {"retrieval": 0.0, "text": 1.0, "image": 0.0, "nil_threshold": 0.0},
    "engine": {"name": "vllm_server", "max_error_rate": 1.0},
}
"""What the model says decides; neither an encoder nor OCR is loaded."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dataset ``lamps``, its index and the configuration ``config.yaml``."""

    def make(folder: Path) -> None:
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
        dataset = load_dataset(write_dataset(folder / "lamps"))
        config = load_config(folder / "config.yaml")
        open_or_build_index(dataset, config, folder / "index", None).close()

    return made_once(tmp_path_factory, "lamps", make)


@pytest.fixture
def world(made: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any) -> Path:
    """An empty folder to work in, with an empty reply cache and templates a, b and c (a with a comment)."""
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, tmp_path / "cache")))
    for name in ("config.yaml", "lamps", "index"):
        source = made / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    write_template(tmp_path / "a.j2", "a")
    write_template(tmp_path / "b.j2", "b")
    write_template(tmp_path / "c.j2", "a", "{# the same, and a thought #}")
    return tmp_path


@pytest.fixture
def write(world: Path) -> Callable[..., Path]:
    """write(model, key=value, ...): a matrix file, templates a and b against each other unless it says so."""

    def matrix(model: PlannedModel | None = None, **keys: Any) -> Path:
        content: dict[str, Any] = {
            "dataset": str(world / "lamps"),
            "split": "dev",
            "config": str(world / "config.yaml"),
            "templates": {name: {"comparison": str(world / f"{name}.j2")} for name in "ab"},
            **keys,
        }
        if model is not None and "models" not in content:
            content["models"] = {"tiny": {"base_url": model.base_url}}
        path = world / "matrix.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    return matrix

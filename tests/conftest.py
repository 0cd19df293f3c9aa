"""Fixtures that every test folder shares, and how tests are dealt to processes (``make test``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.plugin_vllm"]

LONGEST = ("linking", "baselines", "retrieval", "attributes", "training")
"""Folders that take longest, which are dealt first so that no process is left alone with one at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the vLLM server are one group, so that it starts once, and are the first that are dealt."""
    if not hasattr(config, "workerinput"):
        return
    folders = {name: rank for rank, name in enumerate(LONGEST, start=1)}

    def rank(item: pytest.Item) -> int:
        if "vllm_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("vllm_server"))
            return 0
        return folders.get(item.path.parent.name, len(folders) + 1)

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """One process takes the tests of a file, so that they share the file's fixtures."""
    from xdist.scheduler import LoadGroupScheduling

    class FilesAndGroups(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            group: str = super()._split_scope(nodeid)
            return group.partition("::")[0]

    return FilesAndGroups(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real datasets; its tests are skipped where it is absent."""
    root = Path(os.environ.get("AMELI_LLM_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (root / "SHA256SUMS").is_file():
        pytest.skip("no real datasets beside the checkout; AMELI_LLM_SHARED_DATA names another place")
    return root

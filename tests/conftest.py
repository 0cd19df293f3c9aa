"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.plugin_vllm"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real datasets; its tests are skipped where it is absent."""
    root = Path(os.environ.get("AMELI_LLM_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (root / "SHA256SUMS").is_file():
        pytest.skip("no real datasets beside the checkout; AMELI_LLM_SHARED_DATA names another place")
    return root

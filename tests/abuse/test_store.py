"""The SQLite file of replies, stages and photos' texts, damaged: a text comes back whole, or not at all."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from ameli_llm.store import TextStore
from tests.abuse.damage import damaged

TEXTS = {f"{n:064x}": f'{{"text": "The value of {n}", "n": {n % 7}}}' * 9 for n in range(90)}


def written(path: Path, compress: bool) -> bytes:
    store = TextStore(path, compress=compress)
    store.put(TEXTS)
    store.close()
    return path.read_bytes()


def survive(tmp_path: Path, compress: bool, times: int) -> int:
    """How many of so many damaged files gave all texts back."""
    content, draw, whole = written(tmp_path / "whole", compress), random.Random(6), 0
    for number in range(times):
        what, changed = damaged(content, draw)
        path = tmp_path / f"{number}"
        path.write_bytes(changed)
        store = TextStore(path, compress=compress)
        found = store.get(TEXTS)
        assert found.items() <= TEXTS.items(), what
        whole += found == TEXTS
        store.put(TEXTS)
        again = store.get(TEXTS)
        assert again.items() <= TEXTS.items(), what
        store.close()
    return whole


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)


@pytest.mark.parametrize("compress", [False, True])
def test_damaged(tmp_path: Path, compress: bool) -> None:
    assert 0 < survive(tmp_path, compress, 60) < 60


@pytest.mark.slow
@pytest.mark.parametrize("compress", [False, True])
def test_damaged_at_size(tmp_path: Path, compress: bool) -> None:
    assert 0 < survive(tmp_path, compress, 3000) < 3000

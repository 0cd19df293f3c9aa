"""Every example in Python of README.md and docs/library.md runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples(page: str) -> list[str]:
    return FENCE.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("page", "least", "shows"),
    [
        ("README.md", 1, r"^(linked|nil|abstained) (B1|None) 0\.\d+ RankedCandidate\(entity_id='B1'"),
        ("docs/library.md", 5, ""),  # its examples assert what comes out
    ],
)
def test_examples_run(page: str, least: int, shows: str, twin: Path, cache: Path) -> None:
    found = examples(page)
    assert len(found) >= least
    assert shows or all("assert " in example for example in found), "an example says what comes out of it"
    (twin.parent / "DATASET").exists() or (twin.parent / "DATASET").symlink_to(twin)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(found)],
        cwd=twin.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AMELI_LLM_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(shows, done.stdout, re.MULTILINE), done.stdout


def test_the_readme_needs_ten_lines() -> None:
    (example,) = examples("README.md")
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 10, example

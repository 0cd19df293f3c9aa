"""A training of AMELINK that is killed goes on to the bytes of one that is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.baselines.amelink_world import write_tiny_deberta

ROOT = Path(__file__).parents[2]
TRAINED: dict[str, Any] = {"frozen": False}
LEAKS = {"stated": "gold", "images": "selected", "gold_image": True, "adapter_negatives": "candidates"}
FROZEN: dict[str, Any] = {"frozen": True, "pooling": "pooler", "dropout": 0.3, **LEAKS}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_deberta(tmp_path_factory.mktemp("killed") / "encoder")


def run(jobs: list[tuple[Path, Path, dict[str, Any], list[str]]]) -> list[list[int]]:
    lines = "".join(json.dumps([str(a), str(b), changes, moments]) + "\n" for a, b, changes, moments in jobs)
    done = subprocess.run(
        [sys.executable, "-m", "tests.baselines.amelink_killed"],
        input=lines,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def content(out: Path) -> dict[str, bytes]:
    """All that is left in the folder, by name."""
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("changes", "moments"),
    [
        (TRAINED, ["loss:6", "written:1", "dev:3", "adapter:1"]),
        pytest.param(
            TRAINED,
            ["loss:1", "loss:6", "written:1", "dev:3", "loss:2", "adapter:1", "written:1"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            FROZEN, ["encoded:3", "loss:5", "written:2", "dev:2", "adapter:1"], marks=pytest.mark.slow
        ),
    ],
    ids=["trained", "trained, killed often", "frozen"],
)
def test_killed_and_resumed_gives_the_same_files(
    changes: dict[str, Any], moments: list[str], encoder: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    statuses = run([(encoder, whole, changes, []), (encoder, killed, changes, moments)])
    assert statuses == [[0], [*[-signal.SIGKILL] * len(moments), 0]]
    kept = content(whole)
    assert "amelink.json" in kept
    assert not [name for name in kept if name.startswith(("checkpoints", "features"))]
    assert content(killed) == kept

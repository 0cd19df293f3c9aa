"""A training that is killed goes on to the bytes of one that is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("killed.py")
KILLED = -signal.SIGKILL
Run = Callable[..., list[int]]


@pytest.fixture(scope="module")
def program() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, PROGRAM],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM.parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


@pytest.fixture
def run(program: subprocess.Popen[str]) -> Run:
    """Trains in a folder, killed at the moments, and gives the exit status of each start."""

    def start(folder: Path, precision: str, *moments: str) -> list[int]:
        program.stdin.write(json.dumps([str(folder), precision, moments]) + "\n")
        program.stdin.flush()
        return json.loads(program.stdout.readline())

    return start


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_killed_at_a_step_and_started_again(precision: str, run: Run, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, precision) == [0]
    # Before any checkpoint, in the first step, in the second half of a step, in mid-epoch, in the epoch's
    # last micro-batch, while an epoch is scored, and twice at the same place.
    moments = ("score:1", "loss:1", "loss:4", "loss:3", "loss:4", "score:1", "loss:12", "loss:1", "loss:1")
    assert run(killed, precision, *moments) == [KILLED] * len(moments) + [0]
    compare(whole, killed)
    # 10 micro-batches in each of 4 epochs; the last start had only what was left to do.
    assert content(whole)["calls"] == {"loss": 40, "score": 5}
    assert content(killed)["calls"]["loss"] < 30


def test_killed_at_any_moment(run: Run, tmp_path: Path) -> None:
    """Most of the time goes into checkpoints, so that some are killed while they are written."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(whole, "fp32")
    statuses = run(killed, "fp32", *(f"after:{0.02 * n}" for n in range(1, 11)))
    assert set(statuses[:-1]) <= {KILLED, 0}
    assert KILLED in statuses
    compare(whole, killed)


def test_finished_but_not_saved(run: Run, tmp_path: Path) -> None:
    """Killed after the last epoch: started again, nothing is trained and the result is the same."""
    whole, again = tmp_path / "whole", tmp_path / "again"
    run(whole, "fp32")
    run(again, "fp32")
    (again / "result.safetensors").unlink()
    run(again, "fp32")
    compare(whole, again)
    assert content(again)["calls"] == {"loss": 0, "score": 0}


def compare(whole: Path, other: Path) -> None:
    name = "result.safetensors"
    assert (whole / name).read_bytes() == (other / name).read_bytes()
    assert content(whole)["history"] == content(other)["history"]


def content(folder: Path) -> dict[str, object]:
    return json.loads((folder / "history.json").read_text())

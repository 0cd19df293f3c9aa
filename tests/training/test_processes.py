"""Several processes train to what one would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ameli_llm.training.processes import ALONE, Processes, join
from tests.training import together

LAUNCH = ("-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1", "--mixed_precision", "no")


def test_every_row_is_one_process_s() -> None:
    rows = np.arange(7)
    shares = [Processes(rank, 3).share(rows) for rank in range(3)]
    assert sorted(np.concatenate(shares)) == list(rows)
    assert max(map(len, shares)) - min(map(len, shares)) == 1


def test_a_process_that_was_started_alone_stays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join() == ALONE
    total = torch.ones(2)
    ALONE.add([total])
    ALONE.wait()
    assert (ALONE.told("x"), total.tolist(), ALONE.main) == ("x", [1, 1], True)


@pytest.mark.slow
def test_two_processes_train_to_what_one_does(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    together.main(one)
    launch = [sys.executable, *LAUNCH, "--num_processes", "2", together.__file__, str(two)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    for name, weights in load_file(one / "weights").items():
        assert torch.allclose(load_file(two / "weights")[name], weights, atol=1e-5), name
    alone, shared = (json.loads((folder / "history.json").read_text()) for folder in (one, two))
    assert [row[0] for row in shared] == [row[0] for row in alone]
    assert np.allclose([row[2] for row in shared], [row[2] for row in alone], atol=1e-5)
    assert np.allclose([row[1] for row in shared[1:]], [row[1] for row in alone[1:]], atol=1e-5)

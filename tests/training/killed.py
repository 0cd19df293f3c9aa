"""Trains a small network in processes that are killed: run by test_resume.py as a program of its own.

Each line of its input is JSON: a folder, a precision and a list of moments. The training is started in the
folder once for each moment and killed there, and then once more to its end; the answer is a line with the
exit status of each start. A moment is "loss:N" or "score:N", in the N-th call of that function, or
"after:SECONDS". At the end the folder has result.safetensors and history.json. Each training is a fork of
this process, which imports torch once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # torch.optim imports it in its first step, which would be in every fork
from safetensors.torch import save_file

from ameli_llm.training.loop import LoopSettings, train

COUNT = 29
SETTINGS = {
    "epochs": 4,
    "batch_size": 3,
    "accumulation": 2,
    "learning_rate": 0.02,
    "weight_decay": 0.01,
    "warmup": 0.2,
    "clip": 1.0,
    "patience": 3,
    "seed": 5,
}


def fit(folder: Path, precision: str, function: str, call: int) -> None:
    """Trains, and kills this process in the given call of the function."""
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.normal(size=(COUNT, 6)).astype(np.float32))
    target = inputs[:, :1] * inputs[:, 1:2]
    torch.manual_seed(1)
    module = torch.nn.Sequential(
        torch.nn.Linear(6, 12),
        torch.nn.BatchNorm1d(12),
        torch.nn.Dropout(0.3),
        torch.nn.ReLU(),
        torch.nn.Linear(12, 1),
    )
    calls = {"loss": 0, "score": 0}

    def called(name: str) -> None:
        calls[name] += 1
        if name == function and calls[name] == call:
            os.kill(os.getpid(), signal.SIGKILL)

    def loss(rows: np.ndarray) -> torch.Tensor:
        called("loss")
        return torch.nn.functional.mse_loss(module(inputs[rows]).float(), target[rows])

    def score() -> float:
        called("score")
        return -float(torch.nn.functional.mse_loss(module(inputs), target))

    history = train(
        module,
        COUNT,
        loss,
        score,
        LoopSettings(**SETTINGS, precision=precision),
        checkpoints=folder / "checkpoint",
        checkpoint_seconds=0.0,
    )
    save_file(dict(module.state_dict()), folder / "result.safetensors")
    content = {"history": [astuple(epoch) for epoch in history], "calls": calls}
    (folder / "history.json").write_text(json.dumps(content))


def start(folder: Path, precision: str, moment: str) -> int:
    """The exit status of one training."""
    name, _, value = moment.partition(":")
    process = os.fork()
    if not process:
        try:
            fit(folder, precision, name, -1 if name == "after" else int(value))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if name == "after":
        time.sleep(float(value))
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> None:
    for line in sys.stdin:
        name, precision, moments = json.loads(line)
        folder = Path(name)
        folder.mkdir(exist_ok=True)
        statuses = [start(folder, precision, moment) for moment in (*moments, "loss:0")]
        sys.stdout.write(json.dumps(statuses) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

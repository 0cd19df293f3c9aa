"""Trains a small network in the folder given, alone or as one of the processes of ``accelerate launch``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from ameli_llm.files import write_json
from ameli_llm.training.loop import LoopSettings, Rows, train
from ameli_llm.training.processes import join

SETTINGS = LoopSettings(epochs=3, batch_size=2, accumulation=3, learning_rate=0.05, clip=1.0, warmup=0.1)
EXAMPLES = 20  # the last step of an epoch has two, one for each process, and a step's share is uneven


def main(out: Path) -> None:
    processes = join()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(EXAMPLES, 3, generator=generator)
    wanted = inputs @ torch.tensor([1.0, -2.0, 0.5])
    torch.manual_seed(1)
    network = torch.nn.Linear(3, 1)

    def loss(rows: Rows) -> torch.Tensor:
        return torch.nn.functional.mse_loss(network(inputs[rows])[:, 0], wanted[rows])

    def score() -> float:
        return -float(loss(range(EXAMPLES)))

    checkpoints = out / "checkpoint"
    history = train(network, EXAMPLES, loss, score, SETTINGS, checkpoints=checkpoints, processes=processes)
    if processes.main:
        save_file({name: part.contiguous() for name, part in network.state_dict().items()}, out / "weights")
        write_json(out / "history.json", [[epoch.number, epoch.loss, epoch.score] for epoch in history])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Trains an AMELINK in processes that are killed: run by test_amelink_resume.py as a program of its own.

Each line of its input is JSON: a folder with an encoder, a folder to train into, changes of the settings and
a list of moments. The training is started once for each moment and killed there, then once more to its end;
the answer is a line with the exit status of each start. A moment is "WHAT:N": the N-th call of a function.
Each training is a fork of this process, which imports torch once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch._dynamo  # torch.optim imports it in its first step, which would be in every fork
import transformers.models.deberta_v2.modeling_deberta_v2  # noqa: F401

from eval.baselines.amelink import features, folder, models, training
from tests.baselines.amelink_world import make_examples, make_material, tiny_settings

PLACES: dict[str, tuple[Any, str]] = {
    "loss": (training.Trainer, "_loss"),
    "dev": (training.Trainer, "_score"),
    "encoded": (features, "encoded"),
    "written": (folder, "write"),
    "adapter": (models.v2vel, "train"),
}


def fit(encoder: Path, out: Path, changes: dict[str, Any], what: str, call: int) -> None:
    """Trains, and kills this process when the given function is called that often."""
    if what:
        place, name = PLACES[what]
        setattr(place, name, killing(getattr(place, name), call))
    features.PART = 16
    root = out.with_name(out.name + "-data")
    if root.exists():
        root = root.with_name(f"{root.name}-{os.getpid()}")
    material = make_material(root)
    train = make_examples(root, range(0, 32), copies=1)
    dev = make_examples(root, range(32, 48), copies=1, seed=1)
    settings = tiny_settings(encoder, **changes)
    models.train(material, train, dev, out, settings, ["full", "without attribute"], checkpoint_seconds=0.0)


def killing(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    """The function, which kills the process in that call."""
    calls = 0

    def called(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)

    return called


def start(encoder: Path, out: Path, changes: dict[str, Any], moment: str) -> int:
    """The exit status of one training."""
    what, _, call = moment.partition(":")
    process = os.fork()
    if not process:
        try:
            fit(encoder, out, changes, what, int(call or 0))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        encoder, out, changes, moments = json.loads(line)
        statuses = [start(Path(encoder), Path(out), changes, moment) for moment in (*moments, "")]
        sys.stdout.write(json.dumps(statuses) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

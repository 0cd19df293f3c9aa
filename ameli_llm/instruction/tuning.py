"""Fine-tunes an instruction model on a stream of exercises: LoRA, or all weights."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from ameli_llm.engines._local import fingerprint
from ameli_llm.files import make_folder, write_json
from ameli_llm.instruction.exercises import Exercises
from ameli_llm.instruction.packing import Packed
from ameli_llm.instruction.sources import Source
from ameli_llm.instruction.stream import Stream, require_written
from ameli_llm.machine import computes_in_bfloat16
from ameli_llm.models.lora import RECORD, SHA256, WEIGHTS, start_from
from ameli_llm.models.places import base_folder
from ameli_llm.seal import file_checksum
from ameli_llm.training.checkpoint import discard
from ameli_llm.training.processes import Processes, join
from ameli_llm.types import Progress
from ameli_llm.untrusted import read_json

if TYPE_CHECKING:
    from ameli_llm.instruction.network import Learner

_HELD_OUT = 7_919
"""Added to the seed for the exercises of dev."""

_TIMED = 8
"""Exercises by which the speed is measured, in tokens."""

_WEIGHED = 64
"""Exercises by which their mean length is: one of a short review has a tenth of the tokens of others."""

PLAN = "plan.json"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class TuningSettings:
    """How a model is fine-tuned.

    ``exercises`` between two looks at dev, of which there are ``rounds``; with ``minutes`` above 0 their
    number is what fits in that time at the speed of the first ones. A step of the optimizer takes
    ``batch_size`` exercises, ``micro_batch`` of them at a time in memory. ``rank`` 0 trains all weights.
    ``alpha`` is LoRA's; the adapted matrices are ``targets``. ``dev``: exercises of dev. ``longest``: tokens
    of an exercise at most.
    """

    minutes: float = 0.0
    rounds: int = 10
    exercises: int = 200
    batch_size: int = 4
    micro_batch: int = 1
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.0
    clip: float = 1.0
    patience: int = 5
    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    dev: int = 32
    longest: int = 1536
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Tuned:
    """A fine-tuning's result: its folder, its epochs, and the share of right answers on dev by template."""

    folder: Path
    history: Sequence[Mapping[str, Any]]
    scores: Mapping[str, float]
    exercises: int


def tune(
    base: str,
    train: Sequence[Source],
    dev: Sequence[Source],
    templates: Sequence[Exercises],
    settings: TuningSettings,
    out: Path,
    progress: Progress,
    start: Path | None = None,
) -> Tuned:
    """Trains an adapter (or with rank 0 all weights) for ``templates`` and saves it in ``out``.

    ``base`` is a known model's name or a model folder; ``start``, an adapter of it to begin with. Adapters
    are in peft's format, weights in bf16. Typed again after an interruption it goes on to the same result.
    Processes that ``accelerate launch`` started train together, each on its GPU; the main one writes.
    Raises MissingPackageError, and AmeliError when the base cannot be adapted or the sources give no
    exercise.
    """
    from ameli_llm.instruction.loading import load, save
    from ameli_llm.instruction.network import Learner
    from ameli_llm.training.loop import LoopSettings, device
    from ameli_llm.training.loop import train as run

    for sources in (train, dev):
        require_written(sources, templates)
    processes = join()
    on_cpu = device().type == "cpu"
    faster = on_cpu and settings.precision == "auto" and computes_in_bfloat16()
    precision = "bf16" if faster else settings.precision
    low = on_cpu and precision == "bf16"
    folder = base_folder(base, progress)
    network, chat = load(folder, base, settings.rank, settings.alpha, settings.targets, settings.seed, low)
    if start is not None:
        start_from(network, start, base)
    learner = Learner(network).to(device())
    rows = Stream(train, templates, chat, settings.seed, settings.longest)
    held = Stream(dev, templates, chat, settings.seed + _HELD_OUT, settings.longest)
    judged = [held.row(number) for number in range(settings.dev)]
    identity = _identity(folder, rows, held, start)
    count = _planned(learner, rows, settings, precision, out, identity, processes)
    loop = LoopSettings(
        epochs=settings.rounds,
        batch_size=settings.micro_batch,
        accumulation=max(1, settings.batch_size // settings.micro_batch),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        clip=settings.clip,
        patience=settings.patience,
        precision=precision,
        seed=settings.seed,
        fresh=True,
    )
    history = run(
        learner,
        count,
        lambda numbers: learner.loss([rows.row(int(number))[1] for number in numbers]),
        lambda: _dev_score(learner, judged),
        loop,
        checkpoints=out / CHECKPOINT,
        identity=identity,
        progress=progress,
        processes=processes,
    )
    scores = processes.told(_scores(learner, judged) if processes.main else {})
    epochs = [asdict(epoch) for epoch in history]
    record = {
        "base": base,
        "start": fingerprint(start) if start else None,
        "settings": asdict(settings),
        "templates": {one.template.name: one.template.identity for one in templates},
        "sources": [source.identity for source in train],
        "exercises": count * (len(history) - 1),
        "epochs": epochs,
        "scores": scores,
    }
    if processes.main:
        save(network, chat, out, adapter=bool(settings.rank))
        if settings.rank:
            record[SHA256] = file_checksum(out / WEIGHTS)
        write_json(out / RECORD, record)
        (out / PLAN).unlink(missing_ok=True)
        discard(out / CHECKPOINT)
    processes.wait()
    return Tuned(out, epochs, scores, count * (len(history) - 1))


def _scores(learner: Learner, judged: Sequence[tuple[str, Packed]]) -> dict[str, float]:
    """By template, the share of examples whose answer greedy decoding would give."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for name, packed in judged:
        (found,) = learner.right([packed])
        hits[name] += found
    return {name: float(np.mean(found)) for name, found in hits.items()}


def _dev_score(learner: Learner, judged: Sequence[tuple[str, Packed]]) -> float:
    """The likelihood of a token of the right answers, 0 to 1: the mean over exercises of its logarithm.

    Few whole answers are right at first, and their share jumps with a token: it is told, and decides nothing.
    """
    return math.exp(-float(np.mean([float(learner.loss([packed])) for _, packed in judged])))


def _planned(
    learner: Learner,
    rows: Stream,
    settings: TuningSettings,
    precision: Literal["auto", "fp32", "bf16", "fp16"],
    out: Path,
    identity: str,
    processes: Processes,
) -> int:
    """Exercises of a round: as set, or what fits in the time at the speed of a few, by their tokens.

    Written down on the first call, so that a training that goes on does so with the same number.
    """
    import torch

    from ameli_llm.training.loop import autocast, device

    if not settings.minutes:
        return settings.exercises
    if not processes.main:
        return processes.told(0)
    plan = out / PLAN
    known = _Plan.read(plan)
    if known is not None and known.identity == identity and known.minutes == settings.minutes:
        return processes.told(known.exercises)
    learner.train()
    began = time.monotonic()
    weighed = [rows.row(number)[1] for number in range(_WEIGHED)]
    for number, packed in enumerate(weighed[: _TIMED + 1]):
        if number == 1:
            began = time.monotonic()  # the first one is slower
        with autocast(device(), "fp32" if precision == "auto" else precision):
            loss = learner.loss([packed])
        torch.autograd.backward(loss)
    learner.zero_grad(set_to_none=True)
    seconds = time.monotonic() - began
    lengths = [len(packed.tokens) for packed in weighed]
    speed = processes.count * sum(lengths[1 : _TIMED + 1]) / seconds
    count = max(settings.batch_size, exercises_that_fit(settings.minutes, speed, lengths) // settings.rounds)
    make_folder(out)
    write_json(plan, _Plan(identity=identity, minutes=settings.minutes, exercises=count).model_dump())
    return processes.told(count)


def exercises_that_fit(minutes: float, tokens_per_second: float, lengths: Sequence[int]) -> int:
    """How many exercises a time is enough for, where some of their ``lengths`` (in tokens) are known."""
    return round(60 * minutes * tokens_per_second * len(lengths) / sum(lengths))


class _Plan(BaseModel):
    identity: str
    minutes: float
    exercises: int = Field(ge=1)

    @classmethod
    def read(cls, path: Path) -> _Plan | None:
        """The plan in a file, None where there is none that can be read."""
        try:
            return cls.model_validate(read_json(path.read_bytes()))
        except (OSError, ValueError):
            return None


def _identity(folder: Path, rows: Stream, held: Stream, start: Path | None) -> str:
    parts = [fingerprint(folder), rows.identity, held.identity, fingerprint(start) if start else ""]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

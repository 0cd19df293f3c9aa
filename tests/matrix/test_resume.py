"""A matrix that is killed goes on: nothing is lost, nothing is there twice, the result has the same bytes."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.matrix.planned import PlannedModel, planned

PROGRAM = Path(__file__).with_name("killed.py")
KILLED = -signal.SIGKILL
SAMPLE = 12
IN_FLIGHT = 2


@dataclass
class Killer:
    """Starts matrices in processes of their own; ``process`` is the one under way."""

    program: subprocess.Popen[str]
    file: Path
    process: int = 0

    def run(self, out: Path, cache: Path, after: float | None = None) -> int:
        """The exit status of one start, killed after so many seconds if any are given."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        words = ["matrix", self.file, "--index", self.file.parent / "index", "--out", out]
        self.program.stdin.write(json.dumps([list(map(str, words)), str(cache), after]) + "\n")
        self.program.stdin.flush()
        self.process = int(self.program.stdout.readline())
        return int(self.program.stdout.readline())


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, PROGRAM],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM.parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def said(variant: str, review: int) -> str:
    return "right" if (review % 3 == 0) is (variant == "a") else "wrong"


def document(out: Path) -> str:
    """matrix.json but for its last key, after a look whether each run has each review once."""
    text = (out / "matrix.json").read_text("utf-8")
    for cell in json.loads(text)["cells"]:
        lines = (out / cell["run"] / "predictions.jsonl").read_text("utf-8").splitlines()
        assert len({json.loads(line)["review_id"] for line in lines}) == len(lines) == SAMPLE
    head, found, _ = text.partition('\n  "spent": ')
    assert found
    return head


def asked_twice(model: PlannedModel) -> int:
    """Questions that were asked again; every one has been asked."""
    counts = Counter(json.dumps(body, sort_keys=True) for body in model.questions)
    assert len(counts) == 2 * SAMPLE
    return sum(counts.values()) - len(counts)


def matrix(write: Callable[..., Path], model: PlannedModel) -> Path:
    settings = {"two": [f"engine.concurrency={IN_FLIGHT}"]}
    return write(model, settings=settings, sample=SAMPLE)


def test_killed_in_the_second_cell(
    write: Callable[..., Path], world: Path, program: subprocess.Popen[str]
) -> None:
    def kills(variant: str, review: int) -> str:
        if len(model.questions) == SAMPLE + 3:
            os.kill(killer.process, signal.SIGKILL)
        return said(variant, review)

    with planned(said) as model:
        killer = Killer(program, matrix(write, model))
        assert killer.run(world / "whole", world / "first") == 0
        assert asked_twice(model) == 0
        model.questions.clear()
        model.say = kills
        assert killer.run(world / "out", world / "second") == KILLED
        assert len(model.questions) < 2 * SAMPLE
        assert killer.run(world / "out", world / "second") == 0
        assert 1 <= asked_twice(model) <= IN_FLIGHT, "those under way when it was killed"
    assert document(world / "out") == document(world / "whole")


@pytest.mark.slow  # a minute; a hundred kills take a quarter of an hour
@pytest.mark.timeout(3600)
def test_killed_at_random_moments(
    write: Callable[..., Path], world: Path, program: subprocess.Popen[str]
) -> None:
    """Matrices killed one after the other, each until it is finished."""
    wanted = int(os.environ.get("AMELI_LLM_KILLS", "10"))
    with planned(said) as model:
        model.seconds = 0.05
        killer = Killer(program, matrix(write, model))
        began = time.monotonic()
        assert killer.run(world / "whole", world / "first") == 0
        lasts = time.monotonic() - began
        expected = document(world / "whole")
        draw, kills = random.Random(5), 0
        for number in itertools.count():
            out, cache = world / f"out{number}", world / f"cache{number}"
            model.questions.clear()
            before = kills
            while (status := killer.run(out, cache, draw.uniform(0, 0.6 * lasts))) == KILLED:
                kills += 1
            assert status == 0
            assert document(out) == expected
            assert asked_twice(model) <= IN_FLIGHT * (kills - before)
            if kills >= wanted:
                return

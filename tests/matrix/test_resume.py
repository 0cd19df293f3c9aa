"""A matrix that is killed goes on: nothing is lost, nothing is there twice, the result has the same bytes."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.forked import KILLED, Forks, Left, forking, moment, names
from tests.matrix.planned import PlannedModel, planned

SAMPLE = 12
IN_FLIGHT = 2


@dataclass
class Killer:
    """Starts the matrix of ``file`` in processes of their own."""

    forks: Forks
    file: Path

    def run(self, out: Path, cache: Path, **moment: Any) -> Left:
        """One start, killed at the moment that is given, if any."""
        words = ["matrix", self.file, "--index", self.file.parent / "index", "--out", out]
        return self.forks.run(*words, cache=cache, **moment)


@pytest.fixture
def forks() -> Iterator[Forks]:
    with forking("chromadb", "scipy.stats", "ameli_llm.engines.vllm_server", "eval.matrix.scores") as forks:
        yield forks


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


@pytest.mark.slow
def test_killed_in_the_second_cell(write: Callable[..., Path], world: Path, forks: Forks) -> None:
    def kills(variant: str, review: int) -> str:
        if len(model.questions) == SAMPLE + 3:
            os.kill(forks.process, signal.SIGKILL)
        return said(variant, review)

    with planned(said) as model:
        killer = Killer(forks, matrix(write, model))
        assert killer.run(world / "whole", world / "first").done.code == 0
        assert asked_twice(model) == 0
        model.questions.clear()
        model.say = kills
        assert killer.run(world / "out", world / "second").status == KILLED
        assert len(model.questions) < 2 * SAMPLE
        assert killer.run(world / "out", world / "second").done.code == 0
        assert 1 <= asked_twice(model) <= IN_FLIGHT, "those under way when it was killed"
    assert document(world / "out") == document(world / "whole")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_moments(write: Callable[..., Path], world: Path, forks: Forks) -> None:
    """Matrices killed one after the other, each until it is finished."""
    wanted = int(os.environ.get("AMELI_LLM_KILLS", "100"))
    with planned(said) as model:
        model.seconds = 0.05
        killer = Killer(forks, matrix(write, model))
        whole = killer.run(world / "whole", world / "first")
        assert whole.done.code == 0, whole
        expected = document(world / "whole")
        draw, kills = random.Random(5), 0
        for number in itertools.count():
            out, cache = world / f"out{number}", world / f"cache{number}"
            model.questions.clear()
            before = kills
            while (left := killer.run(out, cache, **moment(draw, whole, kills))).status == KILLED:
                kills += 1
            assert left.done.code == 0, left
            assert document(out) == expected
            assert names(out) == names(world / "whole")
            assert asked_twice(model) <= IN_FLIGHT * (kills - before)
            if kills >= wanted:
                return

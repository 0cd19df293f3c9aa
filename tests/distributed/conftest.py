"""A twin in words, a model server that counts, and commands that leave nothing of Ray behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command import NOT_IGNORED, Done
from tests.engines.scripted import Answer, ScriptedServer, said, scripted
from tests.shared_setup import cache_of, twin_of

ROOT = Path(__file__).parents[2]
CHEAP = """
retrieval: {weights: {title: 5.0}, image_encoders: []}
attributes: {extractors: [rules]}
"""
SERVED = """
engine: {name: vllm_server, base_url: "URL", concurrency: 4}
comparison: {comparators: [rules, listwise]}
"""
SPENT = ("seconds", "stage_seconds")
"""What of a prediction is another in every run."""

Words = Sequence[object]


class Counting:
    """A model whose letter follows from the prompt, after a moment; it counts how often it was asked what."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> Answer:
        text = json.dumps(body["messages"])
        if "response_format" in body:
            return said('{"state": "ready"}')
        offered = body["structured_outputs"]["choice"]
        if "alphabet" not in text:
            self.asked[text] += 1
            time.sleep(self.seconds)
        chosen = offered[zlib.crc32(text.encode()) % len(offered)]
        return said(chosen, **{one: -0.1 if one == chosen else -3.0 for one in offered})


class Machine:
    """A cache and a folder for Ray of its own; ``start`` begins a command there."""

    def __init__(self, cache: Path, ray: Path) -> None:
        self.cache, self.ray = cache, ray

    def start(self, *words: object) -> subprocess.Popen[str]:
        settings = {"AMELI_LLM_CACHE": str(self.cache), "OMP_NUM_THREADS": "1", "RAY_TMPDIR": str(self.ray)}
        return subprocess.Popen(
            [*NOT_IGNORED, sys.executable, "-m", "ameli_llm", *map(str, words)],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: object) -> Done:
        return finished(self.start(*words))

    def forget_replies(self) -> None:
        """Else a model is not asked again what it was asked before."""
        for path in self.cache.glob("replies.sqlite*"):
            path.unlink()

    def processes(self) -> list[psutil.Process]:
        """What Ray has running for this machine."""
        return [one for one in psutil.process_iter() if str(self.ray) in _environment(one)]


def _environment(process: psutil.Process) -> str:
    try:
        return process.environ().get("RAY_TMPDIR", "")
    except psutil.Error:
        return ""


def finished(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=280)
    return Done(process.returncode, out, err)


def wait(
    until: Callable[[], object], seconds: float = 200, during: subprocess.Popen[str] | None = None
) -> None:
    """Fails when it does not come true in time, or the process ends before it does."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"not within {seconds} s"
        assert during is None or during.poll() is None, during.communicate()
        time.sleep(0.01)


def timeless(run: Path) -> list[dict[str, Any]]:
    """The lines of the predictions without the times."""
    rows = map(json.loads, (run / "predictions.jsonl").read_text("utf-8").splitlines())
    return [{name: value for name, value in row.items() if name not in SPENT} for row in rows]


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Fails when a process of Ray is there 30 s after its command."""
    cache = cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))
    ray = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets have short paths only
    one = Machine(cache, ray)
    yield one
    try:
        wait(lambda: not one.processes(), 30)
    finally:
        for process in one.processes():
            process.kill()
        shutil.rmtree(ray, ignore_errors=True)


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 products and 213 reviews to train on, without pictures."""
    return twin_of(tmp_path_factory, products=24, reviews=300, seed=1, images=False)


@pytest.fixture
def model() -> Iterator[tuple[Counting, ScriptedServer]]:
    counting = Counting(0.1)
    with scripted() as server:
        server.answers = [counting]
        yield counting, server


@pytest.fixture
def cheap(tmp_path: Path, twin: Path) -> Words:
    """The words of a command without a model, up to its --out."""
    return _command(tmp_path, twin, CHEAP)


@pytest.fixture
def served(tmp_path: Path, twin: Path, model: tuple[Counting, ScriptedServer]) -> Words:
    """The same with the model."""
    return _command(tmp_path, twin, CHEAP + SERVED.replace("URL", model[1].base_url))


def _command(folder: Path, twin: Path, config: str) -> Words:
    path = folder / "config.yaml"
    path.write_text(config, encoding="utf-8")
    return ["link", twin, "--split", "train", "--config", path, "--json", "--out"]

"""A vLLM server on a packaged model under load: reviews/s, requests/s, how full its batch is, our own share.

    python benchmarks/served.py [--model smollm2-ameli] [--reviews 500] [--products 1000] [--concurrency 64]

Starts the server (GPU build where there is one, else the CPU build), links the test split of a synthetic twin
with extraction and comparison by the model, and asks the server every half second how many requests it works
on. Our own share of a run, from opening the model to the last file of its folder, is the time in which no
request is at the server: all that is not the model and is not hidden behind it (goal: at most 5 %). The same
split is linked without a model in the same run: what would not be the server's if nothing were hidden. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.engines._asking import ServerEngine
from ameli_llm.machine import find_gpus
from ameli_llm.models import is_known, model_folder
from eval.experiment import link_variants
from eval.standing import standing

_RUNNING = re.compile(r"^vllm:num_requests_running(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)
_START = 600.0


@dataclass
class Load:
    """How many requests the server worked on, asked every half second."""

    running: list[float] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def watch(self, port: int) -> None:
        """Asks until ``stop``."""
        while not self._end.wait(0.5):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    found = _RUNNING.findall(answer.read().decode())
            except OSError:
                continue
            self.running += [sum(map(float, found))] if found else []

    def stop(self) -> None:
        """Ends the asking."""
        self._end.set()


@dataclass
class Away:
    """When requests were at the server, noted where they leave this process and come back."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._answer = answer = ServerEngine._answer

        async def noted(engine: ServerEngine, *asked: Any) -> Any:
            began = time.perf_counter()
            try:
                return await answer(engine, *asked)
            finally:
                self.spans.append((began, time.perf_counter()))

        ServerEngine._answer = noted  # type: ignore[method-assign,assignment]
        return self

    def __exit__(self, *error: object) -> None:
        ServerEngine._answer = self._answer  # type: ignore[method-assign]

    def seconds(self) -> float:
        """In which at least one request was there."""
        total, until = 0.0, 0.0
        for began, ended in sorted(self.spans):
            total += max(0.0, ended - max(began, until))
            until = max(until, ended)
        return total


def main() -> None:
    """A row for each measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-ameli", help="known model, or a model folder")
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--reviews", type=int, default=500, help="of the test split")
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    folder = model_folder(options.model) if is_known(options.model) else Path(options.model)
    with tempfile.TemporaryDirectory() as work, server(folder, options.concurrency, Path(work)) as port:
        rows = measure(Path(work), port, options)
    print("| measure | value |\n|---|---:|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


@contextmanager
def server(model: Path, concurrency: int, work: Path) -> Iterator[int]:
    """The port of a server on ``model``, which ends with the block. Raises RuntimeError with its log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "served", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--max-model-len", "2048", "--max-num-seqs", str(concurrency), "--dtype", "bfloat16"]
    command += ["--structured-outputs-config.backend", "xgrammar"]
    command += ["--structured-outputs-config.disable_any_whitespace", "true"]
    command += ["--enable-prompt-tokens-details"]
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    log = work / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            env=os.environ | quiet | {"VLLM_CPU_KVCACHE_SPACE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _START
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(1)
        yield port
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def answers(port: int) -> bool:
    """Whether the server at the port is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def measure(work: Path, port: int, options: argparse.Namespace) -> dict[str, str]:
    """The measures by name."""
    write_twin(work / "twin", products=options.products, reviews=5 * options.reviews, seed=7)
    dataset = load_dataset(work / "twin")
    settings = [
        "engine.name=vllm_server",
        f"engine.base_url=http://127.0.0.1:{port}/v1",
        f"engine.concurrency={options.concurrency}",
    ]
    configs = {"off": RunConfig(), "served": override(RunConfig(), settings)}
    load = Load()
    watcher = threading.Thread(target=load.watch, args=(port,))
    watcher.start()
    try:
        split = dataset.split("test")
        done, took, began = {}, {}, time.perf_counter()
        with Away() as away:
            made = link_variants(
                dataset, split, configs, work / "runs", lambda *_: None, options.reviews, work / "index"
            )
            for name, outcome in made:
                done[name], took[name] = outcome, time.perf_counter() - began
                began = time.perf_counter()
    finally:
        load.stop()
        watcher.join()
    off, served = (standing(done[name].folder, options.reviews) for name in configs)
    busy = [running for running in load.running if running]
    n = (done["served"].metrics or {})["n"]
    seconds = served.seconds or float("nan")
    return {
        "GPU": ", ".join(find_gpus()) or "none: CPU build",
        "reviews": str(n),
        "reviews/s": f"{n / seconds:.2f}",
        "requests/s": f"{served.requests_per_second or 0:.2f}",
        "requests at a time, median and most": f"{median(busy):.0f}, {max(busy, default=0):.0f} "
        f"of {options.concurrency}",
        "seconds of the run": f"{took['served']:.1f}",
        "our own share: no request at the server, %": f"{100 - 100 * away.seconds() / took['served']:.1f}",
        "seconds without a model, % of those with it": f"{100 * (off.seconds or 0) / seconds:.1f}",
    }


def median(values: list[float]) -> float:
    """The middle of the values, 0 without any."""
    return sorted(values)[len(values) // 2] if values else 0.0


if __name__ == "__main__":
    main()

"""What HTTP costs: the service under load, against calling the library in a loop in the same run.

    python benchmarks/service.py [--products 1000] [--seconds 60] [--concurrency 1 8 64] [--set KEY=VALUE ...]

The knowledge base and the reviews (texts alone) are those of a synthetic twin. The service is a process of
its own on 127.0.0.1, with its defaults; the load comes from one process with httpx, each of its clients
sending the next review when the last one is answered. The loop links the same reviews one by one with
``Linker.link`` in this process, before the load and after it, so that both see the same machine; with
--writes products are put and deleted meanwhile. Exit code 1 when an answer was not 200, a candidate was a
product that had been deleted before it was asked for, or the service costs more than 10 ms at p50 and one
client. "CPU ms" is what the process that links spends on an answer: on a busy machine it says more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from ameli_llm.dataset.synth import write_twin
from ameli_llm.linker import Linker

GOAL_MS = 10.0
ROOT = Path(__file__).parents[1]
Reviews = list[dict[str, Any]]


@dataclass
class Load:
    """Milliseconds and status of each answer, and seconds of CPU of the process that links."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu: float = 0.0
    new: int = 0
    stale: int = 0

    def row(self, name: str) -> str:
        """A line of the table."""
        p50, p95, p99 = np.percentile(self.milliseconds, [50, 95, 99])
        rate = len(self.milliseconds) / self.seconds
        times = f"{p50:>8.1f} {p95:>8.1f} {p99:>8.1f} {1000 * self.cpu / len(self.milliseconds):>8.1f}"
        return f"{name:<24} {len(self.milliseconds):>8} {rate:>10.1f} {times}"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--writes", type=int, default=0, help="products put and deleted under each load")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "twin"
        write_twin(root, products=options.products, reviews=200, seed=5, images=False)
        records = json.loads((root / "test" / "reviews.json").read_text(encoding="utf-8"))
        reviews = [{name: one[name] for name in ("header", "body", "mention")} for one in records]
        with Linker.open(root, settings=options.settings) as linker:
            return measured(linker, root, reviews, options)


def measured(linker: Linker, root: Path, reviews: Reviews, options: argparse.Namespace) -> int:
    """Runs loop, loads and loop again; the exit code."""
    print(f"{'':<24} {'answers':>8} {'a second':>10} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'CPU ms':>8}")
    loops, loads = [loop(linker, reviews, options.seconds / 2)], []
    process, address = start(root, options.settings)
    try:
        for clients in options.concurrency:
            loads.append(asyncio.run(load(address, reviews, clients, options.seconds, options.writes)))
            print(loads[-1].row(f"service, {clients} clients"), dict(loads[-1].statuses), flush=True)
    finally:
        process.send_signal(signal.SIGTERM)
        ended = process.wait(60)
    loops.append(loop(linker, reviews, options.seconds / 2))
    both = Load(
        loops[0].milliseconds + loops[1].milliseconds,
        seconds=loops[0].seconds + loops[1].seconds,
        cpu=loops[0].cpu + loops[1].cpu,
    )
    print(both.row("library, in a loop"))
    cost = float(np.median(loads[0].milliseconds) - np.median(both.milliseconds))
    print(f"\nHTTP costs {cost:.1f} ms at p50 with {options.concurrency[0]} clients (goal: {GOAL_MS:g} ms)")
    stale = sum(one.stale for one in loads)
    new = sum(one.new for one in loads)
    print(f"links with a product that was put meanwhile: {new}, with one that was deleted before: {stale}")
    print(f"the service ended with {ended}")
    good = all(set(one.statuses) == {200} for one in loads) and not stale and not ended
    return 0 if good and cost <= GOAL_MS else 1


def loop(linker: Linker, reviews: Reviews, seconds: float) -> Load:
    """Links one review after the other."""
    linker.link(reviews[0])
    found, began, cpu = Load(), time.perf_counter(), time.process_time()
    for review in cycle(reviews):
        before = time.perf_counter()
        linker.link(review)
        after = time.perf_counter()
        found.milliseconds.append(1000 * (after - before))
        if after - began > seconds:
            break
    found.seconds = time.perf_counter() - began
    found.cpu = time.process_time() - cpu
    return found


def start(root: Path, settings: list[str]) -> tuple[subprocess.Popen[str], str]:
    """The service as a process, and its address once it takes requests."""
    words = [sys.executable, "-m", "ameli_llm", "serve", str(root), "--port", "0"]
    words += ["--changes", str(root / "changes.jsonl")]
    words += [word for setting in settings for word in ("--set", setting)]
    log = (root / "log.jsonl").open("w", encoding="utf-8")
    process = subprocess.Popen(words, cwd=ROOT, stderr=log, text=True, env=os.environ)
    while process.poll() is None:
        found = re.search(r'"serving", "address": "([^"]+)"', (root / "log.jsonl").read_text("utf-8"))
        if found:
            return process, found[1]
        time.sleep(0.1)
    raise SystemExit((root / "log.jsonl").read_text("utf-8"))


async def load(address: str, reviews: Reviews, clients: int, seconds: float, writes: int) -> Load:
    """Keeps ``clients`` requests under way for so many seconds, and puts and deletes products meanwhile."""
    found = Load()
    gone: dict[str, float] = {}
    bodies = cycle(json.dumps(review).encode() for review in reviews)
    limits = httpx.Limits(max_connections=clients + 2)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as client:
        await client.post("/v1/link", json=reviews[0])
        cpu, began = await cpu_seconds(client), time.perf_counter()

        async def ask() -> None:
            while (before := time.perf_counter()) - began < seconds:
                answer = await client.post(
                    "/v1/link", content=next(bodies), headers={"Content-Type": "application/json"}
                )
                found.milliseconds.append(1000 * (time.perf_counter() - before))
                found.statuses[answer.status_code] += 1
                ids = [str(one["entity_id"]) for one in answer.json().get("candidates", ())]
                found.new += any(id_.startswith("W") for id_ in ids)
                found.stale += any(gone.get(id_, before) < before for id_ in ids)

        async def write() -> None:
            for number in range(writes):
                path = f"/v1/products/W{number}"
                body = {"name": reviews[number % len(reviews)]["mention"] or "new"}
                for answer in (await client.put(path, json=body), await client.delete(path)):
                    answer.raise_for_status()
                gone[f"W{number}"] = time.perf_counter()

        await asyncio.gather(write(), *(ask() for _ in range(clients)))
        found.seconds = time.perf_counter() - began
        found.cpu = await cpu_seconds(client) - cpu
    return found


async def cpu_seconds(client: httpx.AsyncClient) -> float:
    """Seconds of CPU that the service has used."""
    text = (await client.get("/metrics")).text
    (line,) = (line for line in text.splitlines() if line.startswith("process_cpu_seconds_total "))
    return float(line.split()[1])


if __name__ == "__main__":
    sys.exit(main())

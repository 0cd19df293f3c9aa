"""What HTTP costs: the service under load, against calling the library in a loop in the same run.

    python benchmarks/service.py [--products 1000] [--seconds 60] [--concurrency 1 8 64] [--writes 1000]

The knowledge base and the reviews (texts alone) are those of a synthetic twin. The service is a process of
its own on 127.0.0.1, with its defaults; the load comes from one process with httpx, each of its clients
sending the next review when the last one is answered. The loop links the same reviews one by one with
``Linker.link`` in this process, before the load and after it, so that both see the same machine.

One more load, of the second concurrency, lasts until --writes products have been put and nine of ten of them
deleted again, by 32 clients of their own. Then each of them is asked for, and once more when the service has
been started again. Exit code 1 when an answer was not 200 (201 for a new product), a candidate was a product
that had been deleted before it was asked for, a change is lost, or the service costs more than 10 ms at p50
and one client. "CPU ms" is what the process that links spends on an answer: on a busy machine it says more.
Prints Markdown.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from ameli_llm.dataset.synth import write_twin
from ameli_llm.linker import Linker

GOAL_MS = 10.0
WRITERS = 32
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
    changes: int = 0

    def row(self, name: str) -> str:
        """A line of the table."""
        p50, p95, p99 = np.percentile(self.milliseconds, [50, 95, 99])
        answers = len(self.milliseconds)
        cells = (answers / self.seconds, p50, p95, p99, 1000 * self.cpu / answers)
        return f"| {name} | {answers:,} | " + " | ".join(f"{cell:,.1f}" for cell in cells) + " |"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--writes", type=int, default=1000, help="products put under one more load")
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
    print("| | answers | a second | p50 ms | p95 ms | p99 ms | CPU ms |\n|---|---:|---:|---:|---:|---:|---:|")
    loops, loads = [loop(linker, reviews, options.seconds / 2)], []
    with started(root, options.settings) as address:
        for clients in options.concurrency:
            loads.append(asyncio.run(load(address, reviews, clients, options.seconds)))
            print(loads[-1].row(f"service, {counted(clients)}"), flush=True)
        if options.writes:
            clients = options.concurrency[1 % len(options.concurrency)]
            loads.append(asyncio.run(load(address, reviews, clients, 0, options.writes)))
            name = f"service, {counted(clients)}, products put and deleted"
            print(loads[-1].row(name), flush=True)
            lost = asyncio.run(wrong(address, options.writes))
    loops.append(loop(linker, reviews, options.seconds / 2))
    both = Load(
        loops[0].milliseconds + loops[1].milliseconds,
        seconds=loops[0].seconds + loops[1].seconds,
        cpu=loops[0].cpu + loops[1].cpu,
    )
    print(both.row("library, in a loop"))
    cost = float(np.median(loads[0].milliseconds) - np.median(both.milliseconds))
    print(f"\nHTTP costs {cost:.1f} ms at p50 with {counted(options.concurrency[0])} (goal: {GOAL_MS:g} ms).")
    good = all(set(one.statuses) == {200} for one in loads) and cost <= GOAL_MS
    if options.writes:
        with started(root, options.settings) as address:
            lost += asyncio.run(wrong(address, options.writes))
        writing = loads[-1]
        print(
            f"{options.writes:,} products put, {deleted(options.writes):,} of them deleted again: "
            f"{writing.changes / writing.seconds:.1f} changes a second, {writing.new:,} links with such a "
            f"product, {writing.stale} with one that was deleted before. {lost} changes lost, before and "
            "after a restart."
        )
        good = good and not writing.stale and not lost
    return 0 if good else 1


def counted(clients: int) -> str:
    """As "1 client" and "8 clients"."""
    return f"{clients} client{'s' * (clients != 1)}"


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


@contextmanager
def started(root: Path, settings: list[str]) -> Iterator[str]:
    """The address of a service that takes requests; it is stopped by SIGTERM and has to end with 0."""
    words = [sys.executable, "-m", "ameli_llm", "serve", str(root), "--port", "0"]
    words += ["--changes", str(root / "changes.jsonl")]
    words += [word for setting in settings for word in ("--set", setting)]
    log = root / "log.jsonl"
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(words, cwd=ROOT, stderr=stream, text=True, env=os.environ)
    try:
        while not (found := re.search(r'"serving", "address": "([^"]+)"', log.read_text("utf-8"))):
            if process.poll() is not None:
                raise SystemExit(log.read_text("utf-8"))
            time.sleep(0.1)
        yield found[1]
        process.send_signal(signal.SIGTERM)
        if ended := process.wait(60):
            raise SystemExit(f"the service ended with {ended}")
    finally:
        process.kill()


async def load(address: str, reviews: Reviews, clients: int, seconds: float, writes: int = 0) -> Load:
    """Keeps ``clients`` requests under way for so many seconds, and until so many products were put."""
    found = Load()
    gone: dict[str, float] = {}
    bodies = cycle(json.dumps(review).encode() for review in reviews)
    numbers = iter(range(writes))
    written = asyncio.Event()
    limits = httpx.Limits(max_connections=clients + WRITERS)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as client:
        await client.post("/v1/link", json=reviews[0])
        cpu, began = await cpu_seconds(client), time.perf_counter()

        async def ask() -> None:
            while (before := time.perf_counter()) - began < seconds or not written.is_set():
                answer = await client.post(
                    "/v1/link", content=next(bodies), headers={"Content-Type": "application/json"}
                )
                found.milliseconds.append(1000 * (time.perf_counter() - before))
                found.statuses[answer.status_code] += 1
                ids = [str(one["entity_id"]) for one in answer.json().get("candidates", ())]
                found.new += any(id_.startswith("W") for id_ in ids)
                found.stale += any(gone.get(id_, before) < before for id_ in ids)

        async def write() -> None:
            for number in numbers:
                path = f"/v1/products/W{number}"
                body = {"name": reviews[number % len(reviews)]["mention"] or "new"}
                (await client.put(path, json=body)).raise_for_status()
                found.changes += 1
                if not stays(number):
                    (await client.delete(path)).raise_for_status()
                    found.changes += 1
                    gone[f"W{number}"] = time.perf_counter()

        async def write_all() -> None:
            await asyncio.gather(*(write() for _ in range(WRITERS)))
            written.set()

        await asyncio.gather(write_all(), *(ask() for _ in range(clients)))
        found.seconds = time.perf_counter() - began
        found.cpu = await cpu_seconds(client) - cpu
    return found


def stays(number: int) -> bool:
    """Whether the product of that number is not deleted again."""
    return number % 10 == 0


def deleted(writes: int) -> int:
    """How many of so many products are deleted again."""
    return sum(not stays(number) for number in range(writes))


async def wrong(address: str, writes: int) -> int:
    """How many products are there and should not be, or the other way round."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        found = [(await client.get(f"/v1/products/W{number}")).status_code for number in range(writes)]
    return sum(status != (200 if stays(number) else 404) for number, status in enumerate(found))


async def cpu_seconds(client: httpx.AsyncClient) -> float:
    """Seconds of CPU that the service has used."""
    text = (await client.get("/metrics")).text
    (line,) = (line for line in text.splitlines() if line.startswith("process_cpu_seconds_total "))
    return float(line.split()[1])


if __name__ == "__main__":
    sys.exit(main())

"""link-one: seconds to the first answer with a warm index, and what every further line costs, beside link.

    python benchmarks/link_one.py [--products 1000] [--reviews 200] [--starts 5] [--images]

On a synthetic twin, without a model. Compiled modules are kept between the processes, as in an installation
that has run before. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.dataset.synth import write_twin

ROOT = Path(__file__).resolve().parents[1]
RULES = ("--set", "attributes.extractors=[rules]")


def main() -> None:
    """A row for each measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--images", action="store_true", help="with product images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = measure(Path(work), options)
    print("| measure | value |\n|---|---:|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def measure(work: Path, options: argparse.Namespace) -> dict[str, str]:
    """The measures by name, each of processes of its own over the same index."""
    twin = work / "twin"
    write_twin(twin, products=options.products, reviews=5 * options.reviews, seed=0, images=options.images)
    lines = [line(record) for record in read_reviews(twin)[: options.reviews]]
    link = ["link", twin, "--split", "test", "--limit", len(lines), "--out", work / "run", *RULES]
    finish(work, link)  # makes the index as well
    starts = [first_answer(work, twin, lines[0]) for _ in range(options.starts)]
    alone, together = further(work, twin, lines)
    predictions = (work / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    linked = [1000 * json.loads(row)["seconds"] for row in predictions]
    return {
        "products": f"{options.products:,}",
        "first answer, s (median, most)": median_and_most([start.wall for start in starts]),
        "its processor time, s (median, most)": median_and_most([start.processor for start in starts]),
        "further lines one at a time, ms a line": f"{alone:.1f}",
        "further lines all at once, ms a line": f"{together:.1f}",
        "link, ms a review": f"{statistics.mean(linked):.1f}",
    }


def read_reviews(twin: Path) -> list[dict[str, Any]]:
    """The records of the test split."""
    records: list[dict[str, Any]] = json.loads((twin / "test" / "reviews.json").read_text(encoding="utf-8"))
    return records


def line(record: dict[str, Any]) -> bytes:
    """A review of the twin as a line, without its photos."""
    review = {name: record[name] for name in ("header", "body", "mention")}
    return json.dumps({"id": record["review_id"], **review}).encode() + b"\n"


@dataclass(frozen=True)
class Start:
    """Seconds that a process took: by the clock, and of the processors in user and system mode."""

    wall: float
    processor: float


def first_answer(work: Path, twin: Path, review: bytes) -> Start:
    """What a process takes from its start to its end, one review answered."""
    body = json.loads(review)
    words = ["link-one", twin, "--body", body["body"], "--header", body["header"], *RULES]
    return spent(lambda: finish(work, words))


def spent(run: Callable[[], object]) -> Start:
    """What the processes take that ``run`` starts and waits for."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start(time.perf_counter() - started, processor)


def median_and_most(seconds: Sequence[float]) -> str:
    """As a cell of the table."""
    return f"{statistics.median(seconds):.2f}, {max(seconds):.2f}"


def further(work: Path, twin: Path, lines: Sequence[bytes]) -> tuple[float, float]:
    """Milliseconds a line behind the first: each sent when the one before is answered, then all at once."""
    process = begin(work, ["link-one", twin, *RULES], stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    spent = []
    for one in lines:
        started = time.perf_counter()
        process.stdin.write(one)
        process.stdin.flush()
        process.stdout.readline()
        spent.append(1000 * (time.perf_counter() - started))
    started = time.perf_counter()
    out, _ = process.communicate(b"".join(lines))
    together = 1000 * (time.perf_counter() - started) / len(lines)
    assert len(out.splitlines()) == len(lines)
    return statistics.mean(spent[1:]), together


def finish(work: Path, words: Sequence[object]) -> None:
    """Runs a command to its end."""
    process = begin(work, words, stderr=subprocess.PIPE)
    _, err = process.communicate()
    if process.returncode:
        raise SystemExit((err or b"").decode())


def begin(work: Path, words: Sequence[object], **streams: int) -> subprocess.Popen[bytes]:
    """The command in a process of its own, with a cache and compiled modules in ``work``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"AMELI_LLM_CACHE": str(work / "cache"), "PYTHONPYCACHEPREFIX": str(work / "compiled")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "ameli_llm", *map(str, words)]
    defaults = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment, cwd=ROOT, **{**defaults, **streams})  # type: ignore[call-overload]


if __name__ == "__main__":
    main()

"""Goals P5 and P5b: seconds a review without a model and without OCR, and how indexing and memory grow.

    python benchmarks/p5_latency.py [--sizes 1000 5000 35598] [--reviews 200] [--images]

Each size runs in a process of its own on a synthetic twin: index from nothing, then link one review at a
time with a warm index. The alternative of the same run is SBERT retrieval alone. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ameli_llm.types import Review

SIZES = (1_000, 5_000, 35_598)


def main() -> None:
    """A row per size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--images", action="store_true", help="with product and review images")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.sizes[0], options.reviews, options.images)))
        return
    columns = ("products", "index s", "ms/product", "index peak MiB", "open s", "link p50 ms", "link p95 ms")
    print("| " + " | ".join((*columns, "SBERT alone p50 ms", "ratio", "link peak MiB")) + " |")
    print("|" + "---|" * (len(columns) + 3))
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as work:
            made, linked = (child(Path(work), size, options) for _ in range(2))
            cells = [
                f"{size}",
                f"{made['index']:.1f}",
                f"{1000 * made['index'] / size:.1f}",
                f"{made['peak']:.0f}",
            ]
            cells += [f"{linked['open']:.1f}", f"{linked['p50']:.1f}", f"{linked['p95']:.1f}"]
            cells += [
                f"{linked['alone']:.1f}",
                f"{linked['p50'] / linked['alone']:.1f}",
                f"{linked['peak']:.0f}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)


def child(work: Path, size: int, options: argparse.Namespace) -> dict[str, float]:
    """The measures of a process of its own; the second one on the same folder finds twin and index there."""
    command = [sys.executable, __file__, "--one", str(work), "--sizes", str(size)]
    command += ["--reviews", str(options.reviews)] + ["--images"] * options.images
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(work: Path, size: int, reviews: int, images: bool) -> dict[str, float]:
    """The first call on ``work`` makes twin and index and times the index; later ones link."""
    from ameli_llm.config import RunConfig, override, retriever_alone
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.dataset.synth import write_twin
    from ameli_llm.pipeline import open_or_build_index, open_pipeline

    config = override(RunConfig(), ["attributes.extractors=[rules]"])
    if not (work / "twin").exists():
        write_twin(work / "twin", products=size, reviews=5 * reviews, seed=0, images=images)
        data = load_dataset(work / "twin")
        started = time.perf_counter()
        open_or_build_index(data, config, work / "index", None)
        return {"index": time.perf_counter() - started, "peak": peak()}
    data = load_dataset(work / "twin")
    asked = data.split("test").reviews[:reviews]
    result: dict[str, float] = {}
    started = time.perf_counter()
    with open_pipeline(data, config, work / "index") as pipeline:
        result["open"] = time.perf_counter() - started
        spent = one_by_one(pipeline.flow.link, asked)
    with open_pipeline(data, retriever_alone(config, "sbert"), work / "index") as pipeline:
        alone = one_by_one(pipeline.flow.link, asked)
    result |= {"p50": float(np.median(spent)), "p95": float(np.percentile(spent, 95))}
    return result | {"alone": float(np.median(alone)), "peak": peak()}


def one_by_one(link: Callable[[Sequence[Review]], object], reviews: Sequence[Review]) -> list[float]:
    """Milliseconds of each review, after five to warm up."""
    spent = []
    for review in [*reviews[:5], *reviews]:
        started = time.perf_counter()
        link([review])
        spent.append(1000 * (time.perf_counter() - started))
    return spent[5:]


def peak() -> float:
    """MiB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

"""What a review costs by stage, and what 1, 8 and 64 GPUs could do with that: measured here, then calculated.

    python benchmarks/scaling.py [--reviews 48] [--products 300] [--billions 8] [--tokens 1257] [--rate 989]

Measured are seconds of one CPU core (process time, all threads) for each stage of ``link`` without a model on
a synthetic twin with pictures, OCR not cached, and for what the one process that writes the run does with a
review: it unpacks what a worker sends and appends the line. The GPU's part is arithmetic: 2 x parameters x
tokens at a third of the rate. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ray import cloudpickle

from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.distributed.blocks import STAGES, Batch
from ameli_llm.pipeline import open_pipeline
from ameli_llm.runs import PredictionRow, RunFolder

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives and the CPU seconds that it took."""
    began = time.process_time()
    return work(), time.process_time() - began


def costs(products: int, reviews: int, home: Path) -> dict[str, float]:
    """CPU seconds of a review by stage, and of writing its line."""
    write_twin(home / "twin", products=products, reviews=4 * reviews, seed=5)
    dataset = load_dataset(home / "twin")
    chosen = dataset.split("train").reviews[: reviews + 16]
    with open_pipeline(dataset, RunConfig()) as pipeline:
        pipeline.flow.link(chosen[reviews:])  # loads what is loaded on first use
        spent = dict.fromkeys([*STAGES, "writing"], 0.0)
        with RunFolder(home / "run") as folder:
            folder.open_predictions()
            for start in range(0, reviews, 16):
                batch = Batch(chosen[start : start + 16])
                for name, stage in STAGES.items():
                    batch, seconds = timed(lambda batch=batch, stage=stage: stage(pipeline.flow, batch))
                    spent[name] += seconds
                sent = cloudpickle.dumps(batch)  # as Ray sends it
                batch, seconds = timed(lambda sent=sent: cloudpickle.loads(sent))
                rows = (PredictionRow.of(link, "0" * 64) for link in batch.links)
                spent["writing"] += seconds + timed(lambda rows=rows: folder.append(rows))[1]
    return {name: seconds / reviews for name, seconds in spent.items()}


def main() -> None:
    """Measures, calculates and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reviews", type=int, default=48)
    parser.add_argument("--products", type=int, default=300)
    parser.add_argument("--billions", type=float, default=8.0, help="parameters of the model, in 10^9")
    parser.add_argument("--tokens", type=float, default=1257, help="tokens of a review, prompts and replies")
    parser.add_argument("--rate", type=float, default=989, help="dense bf16 rate of a GPU, in 10^12/s")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["AMELI_LLM_CACHE"] = f"{home}/cache"
        cost = costs(asked.products, asked.reviews, Path(home))
    print("| stage | CPU ms a review |\n|---|---:|")
    for name, seconds in cost.items():
        print(f"| {name} | {1000 * seconds:.2f} |")
    gpu = 2 * asked.billions * asked.tokens / (asked.rate * 1000 / 3)
    core = sum(cost[name] for name in STAGES)
    print(f"\nA GPU's part: {1000 * gpu:.1f} ms a review (calculated).\n")
    print("| GPUs | reviews/s | CPU cores for that | the writing process is busy | 1,000,000 reviews, h |")
    print("|---:|---:|---:|---:|---:|")
    for count in (1, 8, 64):
        pace = min(count / gpu, 1 / cost["writing"])
        busy = f"{pace * cost['writing']:.0%}"
        print(f"| {count} | {pace:.0f} | {pace * core:.0f} | {busy} | {1e6 / pace / 3600:.1f} |")


if __name__ == "__main__":
    main()

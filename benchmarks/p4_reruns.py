"""Goal P4: what a change costs. A weight or threshold: milliseconds. A template: only its own requests.

    python benchmarks/p4_reruns.py

Part 1 scores 3,025 reviews x 10 candidates anew under changed fusion weights, against scoring the whole run.
Part 2 sends extraction and comparison of a small twin to a real model in process (untrained, two layers: what
it answers does not matter here) and counts the requests that reach it: first run, identical run, edited
comparison template. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

REVIEWS = 3_025
CANDIDATES = 10


def main() -> None:
    """Runs both parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reviews", type=int, default=12, help="reviews of part 2")
    options = parser.parse_args()
    weights()
    with tempfile.TemporaryDirectory() as work:
        os.environ["AMELI_LLM_CACHE"] = work
        templates(Path(work), options.reviews)


def weights() -> None:
    """Part 1: median seconds of a re-evaluation."""
    from ameli_llm.config import FusionConfig, RunConfig
    from ameli_llm.runs import CandidateRow, GoldRow, PredictionRow
    from ameli_llm.types import State
    from eval.evaluation import evaluate
    from eval.tuning.refusion import Refusion, ScoreTable

    rng = np.random.default_rng(0)
    rows, gold = [], {}
    for review in range(REVIEWS):
        scores = rng.normal(size=(CANDIDATES, 3))
        candidates = sorted(
            (
                CandidateRow(
                    entity_id=int(10 * review + i),
                    retrieval_score=float(r),
                    text_score=float(t),
                    image_score=float(v),
                    score=float(r + t + v),
                )
                for i, (r, t, v) in enumerate(scores)
            ),
            key=lambda candidate: -candidate.score,
        )
        best = candidates[0].entity_id
        rows.append(
            PredictionRow(
                review_id=review,
                state=State.LINKED,
                entity_id=best,
                confidence=0.5,
                candidates=tuple(candidates),
                compared=CANDIDATES,
            )
        )
        gold[review] = GoldRow(gold=int(10 * review + rng.integers(CANDIDATES)))
    refusion = Refusion(ScoreTable.of(rows, {i: row.gold for i, row in gold.items()}))
    tries = [FusionConfig(text=float(w), image=1.0) for w in np.linspace(0, 2, 21)]
    again = [timed(partial(refusion.score, fusion)) for fusion in tries]
    whole = [timed(lambda: evaluate(rows, gold, RunConfig())) for _ in range(3)]
    fast, slow = statistics.median(again), statistics.median(whole)
    print(f"| {REVIEWS} reviews x {CANDIDATES} candidates | seconds, median | ratio |")
    print("|---|---|---|")
    print(f"| changed fusion weight, stored scores | {fast:.4f} | 1 |")
    print(f"| the whole evaluation of the run | {slow:.3f} | {slow / fast:.0f} |\n")


def templates(work: Path, reviews: int) -> None:
    """Part 2: requests that reach the model."""
    from ameli_llm.config import RunConfig, override
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.dataset.synth import write_twin
    from ameli_llm.engines.cache import CachedEngine
    from ameli_llm.pipeline import open_pipeline
    from ameli_llm.templates import prompts_folder
    from eval.experiment import link_split
    from tests.plugin_vllm import make_tiny_model

    write_twin(work / "twin", products=40, reviews=10 * reviews, seed=0, images=False)
    model = make_tiny_model(work / "model")
    original = (prompts_folder() / "compare" / "listwise.j2").read_text(encoding="utf-8")
    (work / "edited.j2").write_text(original.replace("{% block user %}", "{% block user %}Look closely.\n"))
    base = ["engine.name=transformers", f"engine.model={model}", "attributes.extractors=[rules, llm]"]
    print(
        f"| {reviews} reviews, extraction and comparison | requests to the model | from the cache | seconds |"
    )
    print("|---|---|---|---|")
    data = load_dataset(work / "twin")
    split = data.split("test")
    for name, settings in (
        ("first run", []),
        ("identical run", []),
        ("edited comparison template", [f"comparison.template={work / 'edited.j2'}"]),
    ):
        config = override(RunConfig(), [*base, *settings])
        with open_pipeline(data, config) as pipeline:
            started = time.perf_counter()
            link_split(pipeline, data, split, work / name, lambda *_: None, reviews)
            seconds = time.perf_counter() - started
            engine = pipeline.engine
            if not isinstance(engine, CachedEngine):
                raise TypeError("the engine is not cached")
            print(f"| {name} | {engine.misses} | {engine.hits} | {seconds:.2f} |")


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

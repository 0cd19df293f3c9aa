"""Real reviews linked without a model, with the base as it is, with its adapter, and with adapter and rules.

    python benchmarks/model_on_sets.py FOLDER_WITH_DATASETS --out WORK [--sets walmart ...] [--reviews 200]

Default weights, nothing tuned, the first reviews of dev, transformers engine; every row on the same reviews.
Prints Markdown: end-to-end F1 with its 95 % interval, what changed against the run without a model with the
exact McNemar p, and tokens a review. What is finished in WORK is not done again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from real_sets import SETS, f1_cell, show

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import load_dataset
from ameli_llm.runs import RunFolder
from eval.experiment import link_variants
from eval.paired import compare_runs

OFF = "no model"
ROWS = {
    OFF: [],
    "smollm2, zero-shot, and rules": ["engine.name=transformers", "engine.model=smollm2"],
    "smollm2-ameli without rules": [
        "engine.name=transformers",
        "engine.model=smollm2-ameli",
        "attributes.extractors=[llm]",
        "attributes.precision={llm: {'*': 0.9}}",
    ],
    "smollm2-ameli and rules": ["engine.name=transformers", "engine.model=smollm2-ameli"],
}


def main() -> None:
    """A table a set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--set", action="append", default=[], help="setting of every row")
    options = parser.parse_args()
    for name in options.sets:
        print(f"\n### {name}\n")
        print("| run | n | end-to-end F1 % [95 % interval] | fixed | broken | exact p | tokens a review |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        rows(options.datasets / name, options.out / name, options.reviews, options.set)


def rows(source: Path, out: Path, reviews: int, every: Sequence[str]) -> None:
    """The rows of one set."""
    dataset = load_dataset(source)
    configs = {name: override(RunConfig(), [*every, *settings]) for name, settings in ROWS.items()}
    linked = link_variants(
        dataset, dataset.split("dev"), configs, out / "runs", show, limit=reviews, index=out / "index"
    )
    base = out / "runs" / OFF
    for name, outcome in linked:
        metrics = outcome.metrics or {}
        tokens = metrics["tokens"]
        answered = compare_runs(RunFolder(base), outcome.folder).paired.answered
        changed = (
            f"{len(answered.fixed)} | {len(answered.broken)} | {answered.p:.3g}" if name != OFF else " | | "
        )
        print(
            f"| {name} | {metrics['n']} | {f1_cell(outcome)} | {changed} "
            f"| {(tokens['prompt'] + tokens['completion']) / max(metrics['n'], 1):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

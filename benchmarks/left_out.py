"""What defaults are worth on data that they never saw: weights from all datasets but one, linked on that one.

    python benchmarks/left_out.py FOLDER_WITH_DATASETS --out WORK [--reviews 119] [--limit 400]

FOLDER_WITH_DATASETS holds walmart, walmart_amazon, magento and bestbuy; a synthetic twin is the fifth. Of
each, as many reviews of dev are drawn for the weights. No model. Prints Markdown: end-to-end F1 with its 95 %
interval of BM25 alone, of the defaults, and of the weights from the other four, with the exact McNemar p of
these against the defaults, then the weights, and in the end those from all five.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from real_sets import SETS, f1_cell, show

from ameli_llm.config import RunConfig, retriever_alone
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.pipeline import open_pipeline
from ameli_llm.runs import RunFolder
from eval.experiment import link_variants
from eval.paired import compare_runs
from eval.tuning.pooled import Sample, tune_on_all

TWIN = "twin"


def main() -> None:
    """The tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reviews", type=int, default=119, help="of each dataset, for the weights")
    parser.add_argument("--limit", type=int, default=400, help="of the one left out that are linked")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    twin = options.out / TWIN
    if not twin.exists():
        write_twin(twin, products=300, reviews=1000, seed=701 + options.seed)
    folders = {name: options.datasets / name for name in SETS} | {TWIN: twin}
    with ExitStack() as opened:
        samples = {}
        for name, folder in folders.items():
            dataset = load_dataset(folder)
            index = options.out / "indexes" / name
            pipeline = opened.enter_context(open_pipeline(dataset, RunConfig(), index, show))
            samples[name] = Sample.of(pipeline, dataset.split("dev"), options.reviews, options.seed, show)
        chosen = {
            name: tune_on_all(RunConfig(), [one for other, one in samples.items() if other != name], show)
            for name in samples
        }
        print("| set left out | n | BM25 alone | defaults | the other four | better | worse | exact p |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        for name, sample in samples.items():
            row(name, sample, chosen[name], options.out, options.limit)
        chosen["none"] = tune_on_all(RunConfig(), list(samples.values()), show)
    retrievers, comparators = next(iter(samples.values())).names, list(chosen["none"].comparison.weights)
    print(f"\n| left out | {' | '.join((*retrievers, *comparators))} | text | image |")
    print("|---|" + "---:|" * (len(retrievers) + len(comparators) + 2))
    for name, config in chosen.items():
        weights = [*config.retrieval.weights.values(), *config.comparison.weights.values()]
        weights += [config.fusion.text, config.fusion.image]
        print(f"| {name} | {' | '.join(f'{weight:.2f}' for weight in weights)} |")


def row(name: str, sample: Sample, left_out: RunConfig, out: Path, limit: int) -> None:
    """One set linked by BM25, by the defaults, and by the weights of the others."""
    configs: Mapping[str, RunConfig] = {
        "bm25": retriever_alone(RunConfig(), "bm25"),
        "defaults": RunConfig(),
        "others": left_out,
    }
    runs = out / "runs" / name
    split, index = sample.split, out / "indexes" / name
    linked = dict(link_variants(sample.pipeline.dataset, split, configs, runs, show, limit, index))
    shown = map(f1_cell, linked.values())
    answered = compare_runs(RunFolder(runs / "defaults"), RunFolder(runs / "others")).paired.answered
    n = (linked["others"].metrics or {})["n"]
    changed = f"{len(answered.fixed)} | {len(answered.broken)} | {answered.p:.2g}"
    print(f"| {name} | {n} | {' | '.join(shown)} | {changed} |", flush=True)


if __name__ == "__main__":
    main()

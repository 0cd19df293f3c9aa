"""What the packaged models add to links: the values they read, the likelihood of the review, or both.

    python benchmarks/model_on_sets.py FOLDER_WITH_DATASETS --out WORK [--sets bestbuy ...] [--seeds 904 ...]
        [--rows likelihood ...] [--reviews 100]

Rows, each paired with the one without a model: smollm2 as its package has it, asked for values and for a
choice by letter (``zero-shot``); values by smollm2-ameli without rules (``values-alone``) and beside them
(``values``); ``compare/likelihood`` by smollm2, values by rules (``likelihood``); the last two together
(``both``). Default weights, nothing tuned, engine transformers; dev of each dataset and the test splits of
twins. Prints Markdown: end-to-end F1 with its 95 % interval, what is fixed and broken, the exact McNemar p,
and tokens. What is finished in WORK is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from real_sets import SETS, f1_cell, show

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.runs import RunFolder
from eval.experiment import link_variants
from eval.paired import compare_runs

OFF = "no-model"
BASE = ("engine.name=transformers", "engine.model=smollm2")
ADAPTED = ("engine.name=transformers", "engine.model=smollm2-ameli")
ROWS: dict[str, tuple[str, ...]] = {
    OFF: (),
    "zero-shot": (
        *BASE,
        "attributes.extractors=[rules,ocr,llm]",
        "comparison.comparators=[rules,names,listwise]",
    ),
    "values-alone": (
        *ADAPTED,
        "attributes.extractors=[llm]",
        "attributes.precision={llm: {'*': 0.9}}",
        "comparison.comparators=[rules,names]",
    ),
    "values": (*ADAPTED, "comparison.comparators=[rules,names]"),
    "likelihood": BASE,
    "both": (*ADAPTED, "comparison.comparators=[rules,names,likelihood]"),
}


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--seeds", nargs="*", type=int, default=(904, 905), help="of twins of 300 products")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--reviews", type=int, help="of each split, the first ones; all by default")
    options = parser.parse_args()
    asked = {OFF, *options.rows}
    configs = {label: override(RunConfig(), ROWS[label]) for label in ROWS if label in asked}
    print("| set | run | n | end-to-end F1 % | fixed | broken | exact p | tokens a review |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name in options.sets:
        data = load_dataset(options.datasets / name)
        table(name, data, "dev", options.out / name, configs, options.reviews)
    for seed in options.seeds:
        folder = options.out / f"twin-{seed}"
        if not (folder / "data").exists():
            write_twin(folder / "data", products=300, reviews=1200, seed=seed)
        data = load_dataset(folder / "data")
        table(f"twin, seed {seed}", data, "test", folder, configs, options.reviews)


def table(
    name: str, dataset: Dataset, split: str, out: Path, configs: dict[str, RunConfig], reviews: int | None
) -> None:
    """The rows of one split, each paired with the one without a model."""
    first = None
    runs = link_variants(
        dataset, dataset.split(split), configs, out / "runs", show, limit=reviews, index=out / "index"
    )
    for label, linked in runs:
        metrics = linked.metrics or {}
        cells = [name, label, str(metrics["n"]), f1_cell(linked)]
        if first is None:
            first = linked.folder
            cells += ["", "", ""]
        else:
            answered = compare_runs(first, linked.folder).paired.answered
            cells += [str(len(answered.fixed)), str(len(answered.broken)), f"{answered.p:.2g}"]
        print(f"| {' | '.join([*cells, tokens(linked.folder)])} |", flush=True)


def tokens(run: RunFolder) -> str:
    """Prompt and reply tokens of a review on average."""
    used = [row.tokens.prompt + row.tokens.completion for row in run.predictions()]
    return f"{sum(used) / len(used):.0f}"


if __name__ == "__main__":
    main()

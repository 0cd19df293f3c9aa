"""What the packaged model adds to links: the likelihood of the review, the values it reads, and both.

    python benchmarks/likelihood.py FOLDER_WITH_DATASETS --out WORK [--sets bestbuy ...] [--seeds 904 ...]

Rows: no model; ``compare/likelihood`` by SmolLM2-135M-Instruct as its package has it (values by rules);
``extract/json`` by smollm2-ameli; both of these. Default weights, nothing tuned; dev of each dataset and the
test splits of twins. Prints Markdown: end-to-end F1 with its 95 % interval, what is fixed and broken against
no model, the exact McNemar p, and tokens. What is finished in WORK is not done again.
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

TRANSFORMERS = "engine.name=transformers"
ROWS = {
    "no-model": [],
    "likelihood": [TRANSFORMERS, "engine.model=smollm2"],
    "values": [TRANSFORMERS, "engine.model=smollm2-ameli", "comparison.comparators=[rules,names]"],
    "both": [
        TRANSFORMERS,
        "engine.model=smollm2-ameli",
        "comparison.comparators=[rules,names,likelihood]",
    ],
}


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--seeds", nargs="*", type=int, default=(904, 905, 906))
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    options = parser.parse_args()
    print("| set | run | n | end-to-end F1 % | fixed | broken | exact p | tokens a review |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name in options.sets:
        table(name, load_dataset(options.datasets / name), "dev", options.out / name, options.rows)
    for seed in options.seeds:
        folder = options.out / f"twin-{seed}"
        if not (folder / "data").exists():
            write_twin(folder / "data", products=300, reviews=1200, seed=seed)
        table(f"twin, seed {seed}", load_dataset(folder / "data"), "test", folder, options.rows)


def table(name: str, dataset: Dataset, split: str, out: Path, rows: list[str]) -> None:
    """The rows of one split, each paired with the one without a model."""
    configs = {label: override(RunConfig(), ROWS[label]) for label in ROWS if label in {"no-model", *rows}}
    first = None
    runs = link_variants(dataset, dataset.split(split), configs, out / "runs", show, index=out / "index")
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

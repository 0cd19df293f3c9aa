"""What the names of products tell beyond their attributes: comparators rules, and rules and names.

    python benchmarks/names.py FOLDER_WITH_DATASETS --out WORK [--sets walmart ...] [--seeds 501 502 503]

Default weights, nothing tuned, no model; dev of each dataset (the comparator was made while looking at
walmart, walmart_amazon and bestbuy) and the test splits of twins that nobody looked at. Prints Markdown:
end-to-end F1 with its 95 % interval, what names fix and break, and the exact McNemar p. What is finished in
WORK is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from real_sets import SETS, f1_cell, show

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.dataset.synth import write_twin
from eval.experiment import link_variants
from eval.paired import compare_runs

ROWS = {"without": ["comparison.comparators=[rules]"], "with": []}


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--seeds", nargs="*", type=int, default=(501, 502, 503))
    options = parser.parse_args()
    print("| set | n | end-to-end F1 % without names | with names | fixed | broken | exact p |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in options.sets:
        row(name, load_dataset(options.datasets / name), "dev", options.out / name)
    for seed in options.seeds:
        folder = options.out / f"twin-{seed}"
        if not (folder / "data").exists():
            write_twin(folder / "data", products=300, reviews=3000, seed=seed)
        row(f"twin, seed {seed}", load_dataset(folder / "data"), "test", folder)


def row(name: str, dataset: Dataset, split: str, out: Path) -> None:
    """Both links of one split, paired."""
    configs = {label: override(RunConfig(), settings) for label, settings in ROWS.items()}
    linked = dict(
        link_variants(dataset, dataset.split(split), configs, out / "runs", show, index=out / "index")
    )
    answered = compare_runs(linked["without"].folder, linked["with"].folder).paired.answered
    n = (linked["with"].metrics or {})["n"]
    cells = " | ".join(map(f1_cell, linked.values()))
    print(
        f"| {name} | {n} | {cells} | {len(answered.fixed)} | {len(answered.broken)} | {answered.p:.2g} |",
        flush=True,
    )


if __name__ == "__main__":
    main()

"""What the likelihood of a review after each candidate's page adds: default weights with and without it.

    python benchmarks/likelihood.py FOLDER_WITH_DATASETS --out WORK [--sets bestbuy ...] [--seeds 501 ...]

``compare/likelihood`` with the packaged base model, SmolLM2-135M-Instruct, which was not trained for it;
values are extracted by rules in both. Nothing is tuned; dev of each dataset and the test splits of twins.
Prints Markdown: end-to-end F1 with its 95 % interval, what the model fixes and breaks, and the exact McNemar
p. What is finished in WORK is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from names import row
from real_sets import SETS

from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin

ROWS = {"without": [], "with": ["engine.name=transformers", "engine.model=smollm2"]}


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--seeds", nargs="*", type=int, default=(904, 905, 906))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of both rows")
    options = parser.parse_args()
    rows = {label: [*settings, *options.set] for label, settings in ROWS.items()}
    print("| set | n | end-to-end F1 % no model | with the likelihood | fixed | broken | exact p |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in options.sets:
        row(name, load_dataset(options.datasets / name), "dev", options.out / name, rows)
    for seed in options.seeds:
        folder = options.out / f"twin-{seed}"
        if not (folder / "data").exists():
            write_twin(folder / "data", products=300, reviews=1200, seed=seed)
        row(f"twin, seed {seed}", load_dataset(folder / "data"), "test", folder, rows)


if __name__ == "__main__":
    main()

"""What trained taggers add to links: one trained on each knowledge base, beside the rules and OCR.

    python benchmarks/linked_taggers.py FOLDER_WITH_DATASETS --out WORK [--sets twin walmart bestbuy]

A tagger learns from the products' own titles and descriptions (weak labels, docs/extractors.md), --texts of
them that state a value and a third as many that do not; no review is read in training. Then dev (of a twin
of 300 products, whose pictures are looked at: test) is linked with rules and OCR, and with the tagger beside
them, by default weights and with nothing tuned. Prints Markdown: end-to-end F1, what changed with the exact
McNemar p, how many values were kept, and how many of them the tagger alone proposed. What is in WORK is not
done again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from real_sets import show

from ameli_llm.attributes import mjave, uls_dram
from ameli_llm.attributes.tagging.examples import Corpus, LabelledText, divided
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.settings import made_of
from ameli_llm.attributes.tagging.training import train
from ameli_llm.attributes.tagging.weak import of_products
from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import Dataset, load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.runs import RunFolder
from eval.experiment import link_variants
from eval.paired import compare_runs
from retrieval.regions import load_regions

TWIN = "twin"
OFF = "rules, ocr"
KINDS = {"mjave": mjave.KIND, "uls_dram": uls_dram.KIND}
SETTINGS = {
    "mjave": {"batch_size": 32, "epochs": 15, "learning_rate": 1e-3},
    "uls_dram": {"batch_size": 16, "epochs": 3, "learning_rate": 5e-4, "image_encoder": "none"},
}


def main() -> None:
    """A table a set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=[TWIN, "walmart", "bestbuy"])
    parser.add_argument("--taggers", nargs="*", default=["mjave"], choices=list(KINDS))
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--reviews", type=int, default=2000, help="of the twin, a fifth of them in test")
    parser.add_argument("--seed", type=int, default=601)
    parser.add_argument("--set", action="append", default=[], help="setting of every row")
    options = parser.parse_args()
    for name in options.sets:
        source = options.out / TWIN if name == TWIN else options.datasets / name
        if not source.exists() and name == TWIN:
            write_twin(source, products=300, reviews=options.reviews, seed=options.seed)
        dataset = load_dataset(source)
        folders = {
            kind: trained(KINDS[kind], dataset, options.out / f"{name}-{kind}", options)
            for kind in options.taggers
        }
        link(name, dataset, folders, options.out, options.set)


def trained(kind: Kind, dataset: Dataset, folder: Path, options: argparse.Namespace) -> Path:
    """A tagger of the knowledge base; without pictures where no product has one."""
    texts = of_products(dataset, Counter())
    order = np.random.default_rng(options.seed).permutation(len(texts)).tolist()
    stated = [texts[at] for at in order if texts[at].spans][: options.texts]
    others = [texts[at] for at in order if not texts[at].spans][: len(stated) // 3]
    seen = {} if any(text.image for text in stated) else {"image_encoder": "none"}
    settings = made_of(kind.settings, {"max_tokens": 64, "fewest": 5, **seen, **SETTINGS[kind.name]})
    made = train(
        kind,
        _corpus([*stated, *others], options.seed),
        folder,
        settings,
        load_regions,
        seed=options.seed,
        progress=show,
    )
    one = made.description
    sys.stderr.write(f"{one.title}: {one.counts}, dev {one.best_score}, {len(one.labels)} attributes\n")
    return folder


def _corpus(texts: list[LabelledText], seed: int) -> Corpus:
    """All but a tenth for training: the products' reviews are the test, no product's text."""
    made = divided("dataset", texts, seed=seed).splits
    return Corpus("dataset", {"train": (*made["train"], *made["test"]), "dev": made["dev"]})


def link(name: str, dataset: Dataset, folders: dict[str, Path], out: Path, every: Sequence[str]) -> None:
    """The rows of one set."""
    configs = {OFF: override(RunConfig(), [*every, "attributes.extractors=[rules,ocr]"])}
    for kind, folder in folders.items():
        configs[f"{OFF}, {kind}"] = override(
            RunConfig(),
            [*every, f"attributes.extractors=[rules,ocr,{kind}]", f"attributes.trained={{{kind}: {folder}}}"],
        )
    split = dataset.split("test" if name == TWIN else "dev")
    print(f"\n### {name}\n")
    print(
        "| extractors | n | end-to-end F1 % [95 %] | fixed | broken | exact p | values | the tagger's alone |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    runs = out / f"{name}-runs"
    for row, outcome in link_variants(dataset, split, configs, runs, show, index=out / f"{name}-index"):
        metrics = outcome.metrics or {}
        f1 = metrics["end_to_end_f1"]
        answered = compare_runs(RunFolder(runs / OFF), outcome.folder).paired.answered
        changed = f"{len(answered.fixed)} | {len(answered.broken)} | {answered.p:.3g}"
        values = [one for found in outcome.folder.predictions() for one in found.attributes]
        alone = sum(one.source in folders for one in values)
        print(
            f"| {row} | {metrics['n']} | {100 * f1['value']:.2f} [{100 * f1['low']:.2f}, "
            f"{100 * f1['high']:.2f}] | {changed if row != OFF else ' | | '} | {len(values)} | {alone} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

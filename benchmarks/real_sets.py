"""Real reviews with and without the packaged models: each half of dev by what was tuned on the other.

    python benchmarks/real_sets.py FOLDER_WITH_DATASETS --out WORK [--models smollm2-ameli smollm2]

FOLDER_WITH_DATASETS holds bestbuy, walmart, walmart_amazon and magento. Prints Markdown: recall and F1 with
95 % intervals over gold products, our linker without a model paired with BM25 alone, SBERT alone, AMELINK and
itself with each packaged model (smollm2-ameli extracts, smollm2 says how likely the review is after each
candidate's page), and the error budget.
The halves have no gold product in common, and every row stands on the same reviews.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ameli_llm.config import RunConfig, override, retriever_alone
from ameli_llm.dataset.halves import write_halves
from ameli_llm.dataset.load import load_dataset
from ameli_llm.ids import ReviewId
from ameli_llm.pipeline import open_pipeline
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.evaluation import Evaluation, evaluate
from eval.experiment import Outcome, link_variants, tune_pipeline
from eval.paired import Paired, compare
from eval.table5.models import Asked
from eval.table5.reproduce import table5

SETS = ("walmart", "walmart_amazon", "magento", "bestbuy")
BASELINES = {"BM25 alone": "bm25", "SBERT alone": "sbert", "image alone": "image"}
AMELINK = {"AMELINK (MiniLM)": "amelink", "AMELINK with title (MiniLM)": "amelink-with-title"}
WITH_EFFICIENTNET = "AMELINK (MiniLM) + efficientnet"
OURS = "ameli-llm, no model"
MODELS = ("smollm2-ameli", "smollm2")
COPIED = "copied_text"


@dataclass(frozen=True)
class Pooled:
    """The predictions of one method on both halves, each made by the configuration of the other half."""

    rows: list[PredictionRow]
    gold: Mapping[ReviewId, GoldRow]

    def part(self, copied: bool) -> Pooled:
        """The reviews with or without text copied from the product."""
        kept = {i: gold for i, gold in self.gold.items() if (COPIED in gold.slices) == copied}
        return Pooled([row for row in self.rows if row.review_id in kept], kept)

    def evaluation(self) -> Evaluation:
        """The measures over both halves."""
        return evaluate(self.rows, self.gold, RunConfig())


def main() -> None:
    """Runs every set and prints its tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
    options = parser.parse_args()
    for name in options.sets:
        methods = run_set(options.datasets / name, options.out / name, options.models)
        for line in tables(name, methods):
            print(line)


def run_set(source: Path, work: Path, models: Sequence[str]) -> dict[str, Pooled]:
    """Tunes and links both ways round; what is finished is not done again."""
    variants = {OURS: RunConfig()} | {f"ameli-llm, {model}": served(model) for model in models}
    if not work.exists():
        write_halves(load_dataset(source), "dev", work)
    runs: dict[str, list[RunFolder]] = {}
    index = work / "index"
    for half in ("a", "b"):
        data = load_dataset(work / half)
        dev, test = data.split("dev"), data.split("test")
        ours: dict[str, RunConfig] = {}
        for name, config in variants.items():
            with open_pipeline(data, config, index, show) as pipeline:
                ours[name] = tune_pipeline(pipeline, dev.reviews, dev.gold, show).config
        configs = {name: retriever_alone(RunConfig(), part) for name, part in BASELINES.items()} | ours
        for name, outcome in link_variants(data, test, configs, work / half / "runs", show, index=index):
            runs.setdefault(name, []).append(outcome.folder)
        beside = amelink(work / half, AMELINK, ours[OURS], index)
        if any(review.images for review in test.reviews):
            beside |= amelink(work / half, {WITH_EFFICIENTNET: "amelink"}, ours[OURS], index, "efficientnet")
        for name, folder in beside.items():
            runs.setdefault(name, []).append(folder)
    order = (*BASELINES, *AMELINK, WITH_EFFICIENTNET, *variants)
    return {name: pooled(runs[name]) for name in order if name in runs}


def served(model: str) -> RunConfig:
    """The defaults with a packaged model, which is asked for what it is of use for."""
    return override(RunConfig(), ("engine.name=transformers", f"engine.model={model}"))


def amelink(
    half: Path, rows: Mapping[str, str], config: RunConfig, index: Path, image_encoder: str = ""
) -> dict[str, RunFolder]:
    """AMELINK's rows with the packaged encoder over test, among the candidates of our pipeline.

    It is trained on dev without a fifth of its gold products, by which epoch and weights are chosen.
    """
    asked = Asked(
        split="test",
        train_split="dev",
        out=half / f"table5{image_encoder and '-'}{image_encoder}",
        config=config,
        index=index,
        preset="paper",
        encoder="minilm",
        rows=tuple(rows.values()),
        epochs=None,
        seed=0,
        limit=None,
        image_encoder=image_encoder,
    )
    table5(half, asked, show)
    return {name: RunFolder(asked.out / "runs" / row) for name, row in rows.items()}


def pooled(folders: list[RunFolder]) -> Pooled:
    """The runs as one."""
    rows = [row for folder in folders for row in folder.predictions()]
    return Pooled(rows, {i: gold for folder in folders for i, gold in folder.gold().items()})


def tables(name: str, methods: Mapping[str, Pooled]) -> Iterator[str]:
    """Markdown for one set; a set with copied mentions has a second table for them."""
    copied = any(COPIED in gold.slices for gold in methods[OURS].gold.values())
    for title, part in (("", False), ("copied mentions", True)) if copied else (("", None),):
        shown = methods if part is None else {key: one.part(part) for key, one in methods.items()}
        yield f"\n### {name}{' (not copied)' if part is False else ''}{f' ({title})' if title else ''}\n"
        yield from score_table(shown)
    yield from budget(methods[OURS])


def score_table(methods: Mapping[str, Pooled]) -> Iterator[str]:
    """A row per method, with the paired difference of ours without a model to it."""
    recall = " | ".join(f"R@{k}" for k in (1, 10, 100))
    yield f"| method | n | {recall} | disambiguation F1 | end-to-end F1 | no model minus it | exact p |"
    yield "|---|---|---|---|---|---|---|---|---|"
    ours = methods[OURS]
    for name, one in methods.items():
        if not any(candidate.score for row in one.rows for candidate in row.candidates):
            continue  # a set without images has no image row
        scores = one.evaluation().metrics
        found = [scores["recall"][k] for k in ("1", "10", "100")]
        cells = [name, str(scores["n"]), *(score.percent() if score else "-" for score in found)]
        cells += [scores["disambiguation_f1"].percent(), scores["end_to_end_f1"].percent()]
        cells += ["", ""] if name == OURS else difference(compare(one.rows, one.gold, ours.rows, ours.gold))
        yield f"| {' | '.join(cells)} |"


def difference(paired: Paired) -> list[str]:
    """Ours minus the other, in points, and the exact McNemar p."""
    return [paired.answered.difference.percent(), f"{paired.answered.p:.2g}"]


def budget(ours: Pooled) -> Iterator[str]:
    """What went wrong in our run, over all reviews of the set."""
    found = ours.evaluation().metrics["error_budget"]
    causes = ", ".join(f"{cause} {count}" for cause, count in found.causes.items() if count)
    yield f"\nOf {found.errors} errors: {causes}."


def f1_cell(outcome: Outcome) -> str:
    """End-to-end F1 of a run in % with its 95 % interval."""
    f1 = (outcome.metrics or {})["end_to_end_f1"]
    return f"{100 * f1['value']:.1f} [{100 * f1['low']:.1f}, {100 * f1['high']:.1f}]"


def show(stage: str, done: int, total: int) -> None:
    """A line on stderr at the end of a stage."""
    if done == total:
        sys.stderr.write(f"{stage}: {total}\n")


if __name__ == "__main__":
    main()

"""``ameli-llm demo``: the main job on a small synthetic twin, with nothing but the installed packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ameli_llm.cli.terminal import progress, say, table
from ameli_llm.errors import AmeliError
from ameli_llm.interruption import GOES_ON

PRODUCTS = 150
REVIEWS = 400
SEED = 0
BASELINES = {"BM25 alone": "bm25", "SBERT alone": "sbert", "image alone": "image"}
OURS = "ameli-llm, no model"


def register(app: typer.Typer) -> None:
    """Adds ``demo`` to the app."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for twin and runs.")] = Path(
        "demo"
    ),
) -> None:
    """Make a small synthetic twin, tune and link on it, print scores.

    Tunes on the twin's dev split, links its test split, and says where the report is.
    Needs no GPU, no model server and no network. The same command again goes on where it stopped.
    """
    from ameli_llm.config import RunConfig, dump_config, load_config, retriever_alone
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.files import write_text
    from ameli_llm.pipeline import open_pipeline
    from eval.experiment import link_variants, tune_pipeline

    twin, tuned = out / "twin", out / "tuned.yaml"
    rows: list[list[str]] = []
    with progress(GOES_ON) as show:
        _make_twin(twin, show)
        data = load_dataset(twin)
        test = data.split("test")
        if not tuned.is_file():
            dev = data.split("dev")
            with open_pipeline(data, RunConfig(), progress=show) as pipeline:
                chosen = tune_pipeline(pipeline, dev.reviews, dev.gold, show)
            write_text(tuned, dump_config(chosen.config))
        configs = {name: retriever_alone(RunConfig(), part) for name, part in BASELINES.items()}
        configs = {**configs, OURS: load_config(tuned)}
        names = {name.split(",")[0].replace(" ", "-").lower(): name for name in configs}
        variants = {folder: configs[name] for folder, name in names.items()}
        for folder, outcome in link_variants(data, test, variants, out / "runs", show):
            rows.append([names[folder], *_scores(outcome.metrics)])
    say(f"{len(test.reviews)} reviews of a synthetic twin with {len(data.products)} products")
    typer.echo()
    table(["%, 95 % interval", "recall@1", "recall@10", "disambiguation F1", "end-to-end F1"], rows)
    say(f"report: {out / 'runs' / folder / 'report.html'}")


def _make_twin(twin: Path, show: Any) -> None:
    from ameli_llm.dataset.synth import write_twin

    if (twin / "products.json").is_file():
        return
    if twin.exists():
        raise AmeliError(
            f"{twin} is there but incomplete.", hint=f"Delete it, or choose another --out: {twin}."
        )
    write_twin(twin, products=PRODUCTS, reviews=REVIEWS, seed=SEED, progress=show)


def _scores(metrics: Any) -> list[str]:
    from eval.measures.showing import percent

    recall = metrics["recall"]
    return [percent(recall["1"]), percent(recall["10"])] + [
        percent(metrics[name]) for name in ("disambiguation_f1", "end_to_end_f1")
    ]

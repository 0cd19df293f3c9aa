"""``ameli-llm demo``: the main job on a small synthetic twin, with nothing but the installed packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ameli_llm.cli.terminal import progress, say, table
from ameli_llm.errors import AmeliError
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from ameli_llm.config import RunConfig
    from ameli_llm.dataset.load import Dataset
    from ameli_llm.types import Progress

PRODUCTS = 150
REVIEWS = 400
SEED = 0
BASELINES = {"BM25 alone": "bm25", "SBERT alone": "sbert", "image alone": "image"}
MODEL = "smollm2-ameli"


def register(app: typer.Typer) -> None:
    """Adds ``demo`` to the app."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for twin and runs.")] = Path(
        "demo"
    ),
) -> None:
    """Make a small synthetic twin, tune and link on it, print scores.

    Trains an image adapter on the twin's train split, tunes on dev and links test, with and without the
    adapter and the packaged model, and says where the report is. Needs no GPU, no model server and no
    network. The same command again goes on where it stopped.
    """
    from ameli_llm.config import RunConfig, chosen, retriever_alone
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.models import known_model, standing
    from eval.experiment import link_variants

    twin = out / "twin"
    rows: list[list[str]] = []
    here = standing(known_model(MODEL))
    with progress(GOES_ON) as show:
        _make_twin(twin, show)
        data = load_dataset(twin)
        configs = {name: retriever_alone(RunConfig(), part) for name, part in BASELINES.items()}
        adapter = _adapter(data, out / "image-adapter", show)
        retrieval = RunConfig().retrieval.model_copy(update={"image_adapter": str(adapter)})
        adapted = RunConfig().model_copy(update={"retrieval": retrieval})
        for suffix, label, config in ("", "", RunConfig()), ("-adapter", "image adapter, ", adapted):
            tuned = out / f"tuned{suffix}.yaml"
            configs[f"ameli-llm, {label}no model"] = _tuned(data, config, tuned, show)
            if here.state != "missing":
                served = chosen(config, "transformers", MODEL, ())
                tuned = out / f"tuned{suffix}-{MODEL}.yaml"
                configs[f"ameli-llm, {label}{MODEL}"] = _tuned(data, served, tuned, show)
        names = {name.replace(",", "").replace(" ", "-").lower(): name for name in configs}
        variants = {folder: configs[name] for folder, name in names.items()}
        test = data.split("test")
        for folder, outcome in link_variants(data, test, variants, out / "runs", show):
            rows.append([names[folder], *_scores(outcome.metrics)])
    say(f"{len(test.reviews)} reviews of a synthetic twin with {len(data.products)} products")
    typer.echo()
    table(["%, 95 % interval", "recall@1", "recall@10", "disambiguation F1", "end-to-end F1"], rows)
    if here.state == "missing":
        say(f"no row with {MODEL}: {here.detail}. {here.fix}")
    say(f"report: {out / 'runs' / folder / 'report.html'}")


def _tuned(data: Dataset, config: RunConfig, file: Path, show: Progress) -> RunConfig:
    """The configuration tuned on the dev split, which is done once: it is kept in ``file``."""
    from ameli_llm.config import dump_config, load_config
    from ameli_llm.files import write_text
    from ameli_llm.pipeline import open_pipeline
    from eval.experiment import tune_pipeline

    if not file.is_file():
        dev = data.split("dev")
        with open_pipeline(data, config, progress=show) as pipeline:
            found = tune_pipeline(pipeline, dev.reviews, dev.gold, show)
        write_text(file, dump_config(found.config))
    return load_config(file)


def _adapter(data: Dataset, folder: Path, show: Progress) -> Path:
    """The image adapter of the train split, which is trained once: it is kept in ``folder``."""
    from ameli_llm.config import RunConfig
    from ameli_llm.images.adapter import DESCRIPTION
    from ameli_llm.images.contrastive import TrainingSettings
    from ameli_llm.pipeline import open_or_build_index
    from eval.image_adapter import train_image_adapter

    if not (folder / DESCRIPTION).is_file():
        source = {"dataset": data.digest, "split": "train"}
        with open_or_build_index(data, RunConfig(), None, show) as index:
            train_image_adapter(data, "train", index, folder, TrainingSettings(), SEED, show, source)
    return folder


def _make_twin(twin: Path, show: Progress) -> None:
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

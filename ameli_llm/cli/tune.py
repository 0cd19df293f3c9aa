"""``ameli-llm tune``: weights, thresholds and calibration from one split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ameli_llm.cli.link import resolve_config
from ameli_llm.cli.options import (
    ConfigOption,
    DatasetArgument,
    EngineOption,
    IndexOption,
    JsonOption,
    LimitOption,
    ModelOption,
    PromptsOption,
    SettingsOption,
    SplitOption,
)
from ameli_llm.cli.results import failures_json, print_failures, print_json
from ameli_llm.cli.terminal import progress, say
from ameli_llm.errors import AmeliError
from ameli_llm.files import make_folder, write_text

FEW = 50
"""Reviews below which tuning is warned of."""


def register(app: typer.Typer) -> None:
    """Adds ``tune`` to the app."""
    app.command("tune")(tune)


def tune(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Configuration to write.")],
    split: SplitOption = "dev",
    config: ConfigOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    precision: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Abstain so that links are right at this rate."),
    ] = None,
    limit: LimitOption = None,
    index: IndexOption = None,
    prompts: PromptsOption = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose weights, thresholds and calibration on a split.

    Weights of retrieval and of fusion, the extractors' precision, calibration, and the two thresholds.
    Writes a configuration for link --config. The accuracy it prints is that of the split it tuned on.
    """
    from ameli_llm.config import dump_config
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.pipeline import open_pipeline
    from ameli_llm.resolution import as_open_as
    from eval.experiment import tune_pipeline

    asked = resolve_config(config, engine, model, settings or ())
    with progress() as show:
        data = load_dataset(dataset)
        chosen = data.split(split)
        reviews = chosen.reviews[:limit]
        if not any(review.id in chosen.gold for review in reviews):
            raise AmeliError(f"Split {split!r} of {dataset} has no gold to tune on.")
        with open_pipeline(data, asked, index, show, prompts) as pipeline:
            tuned = tune_pipeline(pipeline, reviews, chosen.gold, show, precision)
    if tuned.n < FEW:
        say(f"warning: tuned on {tuned.n} reviews; below {FEW} the weights follow chance", err=True)
    make_folder(out.parent)
    write_text(out, dump_config(as_open_as(tuned.config, asked)))
    if as_json:
        content: dict[str, Any] = {
            "config": str(out),
            "split": chosen.name,
            "n": tuned.n,
            "accuracy": tuned.accuracy,
        }
        content |= {"failures": failures_json(tuned.failures)}
        print_json({**content, "chosen": tuned.config.model_dump(mode="json")})
        return
    print_failures(tuned.failures)
    weights = ", ".join(f"{name} {weight:g}" for name, weight in tuned.config.retrieval.weights.items())
    fusion = tuned.config.fusion
    say(f"retrieval weights: {weights}")
    say(f"fusion weights: retrieval {fusion.retrieval:g}, text {fusion.text:g}, image {fusion.image:g}")
    say(f"mismatch filter: {'on' if fusion.mismatch_filter else 'off'}")
    say(f"thresholds: nil {fusion.nil_threshold:.4f}, abstain {fusion.abstain_threshold:.4f}")
    say(f"right on the {tuned.n} reviews tuned on: {100 * tuned.accuracy:.2f} %")
    say(f"configuration: {out}")

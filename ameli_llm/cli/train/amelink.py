"""``ameli-llm train amelink``: the paper's own model, with its variants of Table 5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ameli_llm.cli.options import (
    ConfigOption,
    DatasetArgument,
    ImageEncoderOption,
    IndexOption,
    JsonOption,
    SettingsOption,
)
from ameli_llm.cli.terminal import progress, say, table
from ameli_llm.cli.training import CandidatesOption
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from eval.baselines.amelink.models import Summary


def register(group: typer.Typer) -> None:
    """Adds ``amelink`` to the group ``train``."""
    group.command("amelink")(amelink)


def amelink(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the weights.")],
    train_split: Annotated[str, typer.Option("--train-split", help="Split to train on.")] = "train",
    preset: Annotated[
        Literal["paper", "official"],
        typer.Option(help="The paper's equations, or the official code where it differs."),
    ] = "paper",
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME_OR_PATH",
            help="Text encoder; minilm is packaged. The paper's: microsoft/deberta-v3-base.",
        ),
    ] = "minilm",
    variants: Annotated[
        list[str] | None,
        typer.Option("--variant", metavar="NAME", help="Only this row of Table 5; repeatable."),
    ] = None,
    config: ConfigOption = None,
    index: IndexOption = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs at most; training stops early on dev.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and order.")] = 0,
    learning_rate: Annotated[float | None, typer.Option(min=0.0, help="Adam's learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Reviews a step.")] = None,
    micro_batch: Annotated[
        int, typer.Option(min=0, help="Reviews at a time on the device; 0: the whole step's.")
    ] = 0,
    candidates: CandidatesOption = None,
    image_encoder: ImageEncoderOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train AMELINK, the paper's own model.

    Text pairs go through an encoder and an MLP, images through an adapter; weights are chosen on dev.
    Candidates and the reviews' attributes come from a run of link without a model over each split. --set
    changes any of AMELINK's settings. Typed again after a kill, it goes on where it was.
    """
    from ameli_llm.config import load_config, parse_settings
    from ameli_llm.dataset.load import load_dataset
    from eval.baselines.amelink import settings_for, train
    from eval.baselines.amelink.models import check
    from eval.baselines.course import open_course

    changes = {**_given(epochs, learning_rate, batch_size, micro_batch), **parse_settings(settings or ())}
    run = load_config(config)
    chosen = settings_for(preset, encoder, {"candidates": run.retrieval.candidates, **changes})
    check(chosen, variants or ())
    data = load_dataset(dataset)
    with (
        progress(GOES_ON) as show,
        open_course(data, train_split, run, index, seed, out, show, candidates, image_encoder) as course,
    ):
        examples = course.examples(course.train), course.examples(course.dev)
        summary = train(course.material, *examples, out, chosen, variants or (), seed=seed, progress=show)
    _show(summary, as_json)


def _given(
    epochs: int | None, learning_rate: float | None, batch_size: int | None, micro_batch: int
) -> dict[str, Any]:
    named = {"epochs": epochs, "adapter_epochs": epochs, "learning_rate": learning_rate}
    named |= {"batch_size": batch_size, "micro_batch": micro_batch}
    return {name: value for name, value in named.items() if value is not None}


def _show(summary: Summary, as_json: bool) -> None:
    from eval.baselines.amelink.loading import title_of

    described = summary.description
    if as_json:
        content = {"folder": str(summary.folder), "title": title_of(described), "already": summary.already}
        typer.echo(json.dumps({**content, **described.model_dump(mode="json")}))
        return
    rows = []
    for name, text in described.texts.items():
        first, best = text.history[0], next(e for e in text.history if e.number == text.best)
        loss = "-" if best.loss is None else f"{best.loss:.4f}"
        last = f"{text.best} of {text.history[-1].number}"
        rows.append([f"text: {name}", last, loss, _percent(first.dev_f1), _percent(best.dev_f1)])
    table([title_of(described), "epoch", "loss", "dev F1 untrained", "dev F1"], rows)
    table(
        ["variant", "weights", "lambda", "dev F1"],
        [
            [
                name,
                ", ".join(f"{part} {weight:g}" for part, weight in row.weights.items()),
                "-" if row.coefficient is None else f"{row.coefficient:.3g}",
                _percent(row.dev_f1),
            ]
            for name, row in described.variants.items()
        ],
    )
    say(
        f"dev F1 is over the {described.dev_lists} of {described.dev_reviews} dev reviews whose product is "
        "among the candidates."
    )
    say(f"image: none, {described.no_image}" if described.no_image else described.image_title)
    state = "was trained before with these settings; nothing was done" if summary.already else "saved"
    say(f"{summary.folder}: {state}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"

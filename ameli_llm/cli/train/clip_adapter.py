"""``ameli-llm train clip-adapter``: the image adapter of retrieval and fusion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ameli_llm.cli.options import ConfigOption, DatasetArgument, IndexOption, JsonOption
from ameli_llm.cli.terminal import progress, say, table
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from ameli_llm.images.adapter import ImageAdapter
    from ameli_llm.training.loop import Epoch


def register(group: typer.Typer) -> None:
    """Adds ``clip-adapter`` to the group ``train``."""
    group.command("clip-adapter")(clip_adapter)


def clip_adapter(
    dataset: DatasetArgument,
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Folder for the adapter."),
    split: str = typer.Option("train", "--split", help="Split to train on."),
    config: ConfigOption = None,
    index: IndexOption = None,
    encoder: Annotated[
        str, typer.Option("--encoder", metavar="NAME", help="Image encoder of the index; default: its first.")
    ] = "",
    epochs: int = typer.Option(30, min=1, help="Epochs at most; training stops early on dev."),
    seed: int = typer.Option(0, min=0, help="Seed of weights and order."),
    learning_rate: float = typer.Option(3e-4, min=0.0, help="Adam's learning rate."),
    batch_size: int = typer.Option(64, min=2, help="Pairs a batch: each other's negatives."),
    bottleneck: int = typer.Option(
        0, min=0, help="Width between the two layers; 0: a quarter of the vector."
    ),
    temperature: float = typer.Option(
        0.05, min=1e-6, help="Divides the cosines; 1 is the paper's equation and the official code."
    ),
    form: Literal["paper", "official"] = typer.Option(
        "paper", help="The paper's equations, or the official code's."
    ),
    as_json: JsonOption = False,
) -> None:
    """Train the image adapter of the paper's section 4.4.

    On the index's vectors of one image encoder, which it adapts and whose name it keeps. Early
    stopping is on the dev split or, where that is the one trained on or there is none, on a fifth of the
    products. Typed again after an interruption it goes on where it was.
    """
    from ameli_llm.config import load_config
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.images.contrastive import TrainingSettings
    from ameli_llm.pipeline import open_or_build_index
    from eval.image_adapter import train_image_adapter

    settings = TrainingSettings(form, epochs, learning_rate, batch_size, bottleneck, temperature)
    with progress(GOES_ON) as show:
        data = load_dataset(dataset)
        chosen = data.split(split)
        source = {"dataset": data.digest, "split": chosen.name}
        with open_or_build_index(data, load_config(config), index, show) as opened:
            adapter, history = train_image_adapter(
                data, chosen.name, opened, out, settings, seed, show, source, encoder
            )
    _show(adapter, history, out, as_json)


def _show(adapter: ImageAdapter, history: Sequence[Epoch], out: Path, as_json: bool) -> None:
    from ameli_llm.training.loop import best_epoch

    best = best_epoch(history)
    if as_json:
        content = {"adapter": str(out), "form": adapter.form, "encoder": adapter.encoder}
        epochs = [asdict(epoch) for epoch in history]
        typer.echo(
            json.dumps({**content, "training": dict(adapter.training), "best": best.number, "epochs": epochs})
        )
        return
    rows = [
        ("untrained", history[0]),
        (f"best, epoch {best.number}", best),
        (f"last, epoch {len(history) - 1}", history[-1]),
    ]
    table(
        ["", "loss", "dev R@1"],
        [[name, f"{epoch.loss or 0.0:.4f}", f"{100 * (epoch.score or 0.0):.2f}"] for name, epoch in rows],
    )
    counts = adapter.training
    say(f"{counts['pairs']} image pairs of {counts['split']}, {counts['dev_reviews']} reviews for dev R@1")
    if adapter.form == "identity":
        say("No epoch was better than the untrained vectors: the adapter is the identity.")
    say(f"adapter of {adapter.encoder}: {out}")

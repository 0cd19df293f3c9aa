"""What the training commands share: options, the data they open, and what they print of a training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ameli_llm.cli.terminal import say, table

if TYPE_CHECKING:
    from eval.baselines._folder import Trained


CandidatesOption = Annotated[
    Path | None,
    typer.Option(
        "--candidates",
        metavar="DIR",
        help="Folder with a finished run of link for each split (DIR/train, DIR/dev), instead of making "
        "them in the folder of --out.",
    ),
]


def show_training(trained: Trained, as_json: bool) -> None:
    """Prints a training as one JSON object or as a table for each part."""
    if as_json:
        typer.echo(json.dumps(asdict(trained)))
        return
    for part in trained.parts or (trained,):
        history = part.history
        epochs = {
            "untrained": history[0],
            f"best, epoch {part.best}": history[part.best],
            f"last, epoch {len(history) - 1}": history[-1],
        }
        score = f"dev {part.measure}"
        table([part.title, "loss", score], [_row(name, epoch) for name, epoch in epochs.items()])
        source = part.made_of["data"]
        chosen = f"{part.dev_reviews} reviews of {source['dev']} for {score}"
        say(f"{part.pairs} pairs of {source['train']}, {chosen}")
        state = "was trained before with these settings; nothing was done" if part.already else "saved"
        say(f"{part.folder}: {state}")


def _row(name: str, epoch: Mapping[str, Any]) -> Sequence[str]:
    loss, score = epoch["loss"], epoch["score"]
    return [name, "" if loss is None else f"{loss:.4f}", "" if score is None else f"{100 * score:.2f}"]

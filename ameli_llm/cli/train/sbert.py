"""``ameli-llm train sbert``: the text encoder of retrieval, fine-tuned on reviews and their products."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ameli_llm.cli.options import ConfigOption, DatasetArgument, IndexOption, JsonOption
from ameli_llm.cli.terminal import progress, say, table
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from retrieval.finetuning.description import FineTuned


def register(group: typer.Typer) -> None:
    """Adds ``sbert`` to the group ``train``."""
    group.command("sbert")(sbert)


def sbert(
    dataset: DatasetArgument,
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Folder for the model."),
    train_split: str = typer.Option("train", "--train-split", help="Split to train on."),
    config: ConfigOption = None,
    index: IndexOption = None,
    epochs: int = typer.Option(3, min=1, help="Epochs at most; training stops early on dev."),
    batch_size: int = typer.Option(35, min=2, help="Reviews a batch: their products are mutual negatives."),
    learning_rate: float = typer.Option(2e-5, min=0.0, help="Greatest learning rate of AdamW."),
    warm_up: float = typer.Option(0.1, min=0, max=1, help="Share of the steps in which that rises."),
    weight_decay: float = typer.Option(1e-3, min=0.0, help="Weight decay of AdamW."),
    window: int = typer.Option(0, min=0, help="Texts are cut at so many tokens; 0: the model's own window."),
    hard: int = typer.Option(10, min=1, help="The hard negative is one of so many best retrieved products."),
    seed: int = typer.Option(0, min=0, help="Seed of order, dropout and negatives."),
    as_json: JsonOption = False,
) -> None:
    """Fine-tune the text encoder of retrieval.

    By multiple negatives ranking, with a hard negative for each review. The result is a
    sentence-transformers model: retrieval.text_model takes its folder. A product's text is its name,
    description and attributes, as in the index. The defaults suit a CPU; the official AMELI code has
    --epochs 10 --batch-size 35 --learning-rate 1e-5 --warm-up 0.26 --weight-decay 1e-3 --window 512 --hard
    10 and all-mpnet-base-v2. Early stopping is by the mean of Recall@1 and Recall@10 on the dev split or,
    where that is the one trained on or there is none, on a fifth of the products. Typed again after an
    interruption it goes on where it was.
    """
    from ameli_llm.config import load_config
    from ameli_llm.dataset.folds import folds
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.pipeline import open_or_build_index
    from retrieval.finetuning.description import FineTuning
    from retrieval.finetuning.reviews import fine_tune_sbert

    settings = FineTuning(epochs, batch_size, learning_rate, warm_up, weight_decay, window, hard)
    data = load_dataset(dataset)
    train, dev = folds(data, train_split, seed)
    with progress(GOES_ON) as show, open_or_build_index(data, load_config(config), index, show) as opened:
        done = fine_tune_sbert(data, train, dev, opened, out, settings, seed, show)
    _show(done, out, as_json)


def _show(done: FineTuned, out: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"model": str(out), "fresh": done.fresh, **done.description.model_dump()}))
        return
    if not done.fresh:
        say(f"{out} is finished; nothing was trained.")
    rows = [
        [
            "untrained" if epoch.number == 0 else f"epoch {epoch.number}",
            "-" if epoch.loss is None else f"{epoch.loss:.4f}",
            f"{100 * epoch.score:.2f}",
        ]
        for epoch in done.description.history
    ]
    table(["", "loss", "dev R@1 and R@10"], rows)
    say(done.summary())
    say(f"retrieval.text_model: {out}")

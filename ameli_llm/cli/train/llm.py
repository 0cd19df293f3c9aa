"""``ameli-llm train llm``: an instruction model, fine-tuned for the linker's own templates."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ameli_llm.cli.options import JsonOption, PromptsOption, complete_template
from ameli_llm.cli.terminal import progress, say, table
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from ameli_llm.instruction.tuning import Tuned


def register(group: typer.Typer) -> None:
    """Adds ``llm`` to the group ``train``."""
    group.command("llm")(llm)


def llm(
    datasets: list[Path] | None = typer.Argument(
        None,
        metavar="[DATASET]...",
        help="Dataset folders, or files of annotated texts; without one, invented knowledge bases.",
    ),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Folder for the adapter."),
    base: str = typer.Option("smollm2", "--base", help="Known model, or a model folder with safetensors."),
    teacher: Path | None = typer.Option(
        None, "--teacher", metavar="RUN", help="Run of a larger model on the dataset, to learn its answers."
    ),
    start: Path | None = typer.Option(
        None, "--from", metavar="ADAPTER", help="Folder of an adapter of this base to go on from."
    ),
    template: list[str] = typer.Option(
        ["extract/json", "compare/entail"],
        "--template",
        help="Template to train for; repeatable.",
        autocompletion=complete_template,
    ),
    prompts: PromptsOption = None,
    minutes: float = typer.Option(60.0, min=0.0, help="Time for training; 0: as many as --exercises."),
    rounds: int = typer.Option(8, min=1, help="Looks at dev, each after as many exercises."),
    exercises: int = typer.Option(300, min=1, help="Exercises of a round where --minutes is 0."),
    patience: int = typer.Option(4, min=1, help="Rounds without a better score on dev that are waited for."),
    batch_size: int = typer.Option(4, min=1, help="Exercises of an optimizer step."),
    micro_batch: int = typer.Option(1, min=1, help="Exercises in memory at a time."),
    learning_rate: float = typer.Option(1e-3, min=0.0, help="Greatest learning rate."),
    rank: int = typer.Option(16, min=0, help="Rank of the adapter; 0: all weights are trained."),
    alpha: int = typer.Option(32, min=1, help="LoRA's alpha: the adapter counts alpha / rank."),
    target: list[str] | None = typer.Option(
        None, "--target", help="Matrix that is adapted; repeatable. By default all of a Llama's layers."
    ),
    longest: int = typer.Option(1536, min=64, help="Tokens of an exercise at most."),
    seed: int = typer.Option(0, min=0, help="Seed of texts, order and adapter."),
    merge: bool = typer.Option(False, "--merge", help="Also write a merged model folder: DIR/merged."),
    as_json: JsonOption = False,
) -> None:
    """Fine-tune an instruction model for the linker's templates.

    The prompts are rendered as the linker renders them, the answers follow from what a review says: of a
    dataset, shopper-style text made from its products' attributes and the reviews of its train split; without
    a dataset, text about invented products. Dev is made alike from other seeds and the dev splits. Typed
    again after an interruption it goes on where it was. On several GPUs: accelerate launch --num_processes N
    -m ameli_llm train llm ...
    """
    from ameli_llm.instruction.exercises import Exercises
    from ameli_llm.instruction.sources import sources_of
    from ameli_llm.instruction.tuning import TuningSettings, tune
    from ameli_llm.models import merge_adapter
    from ameli_llm.training.processes import join

    settings = TuningSettings(
        minutes=minutes,
        rounds=rounds,
        exercises=exercises,
        patience=patience,
        batch_size=batch_size,
        micro_batch=micro_batch,
        learning_rate=learning_rate,
        rank=rank,
        alpha=alpha,
        targets=tuple(target) if target else TuningSettings.targets,
        longest=longest,
        seed=seed,
    )
    wanted = [Exercises(name, prompts) for name in template]
    with progress(GOES_ON) as show:
        train, dev = sources_of(datasets or [], seed, teacher)
        done = tune(base, train, dev, wanted, settings, out, show, start)
        if not join().main:
            return
        merged = merge_adapter(base, out, out / "merged", show) if merge and rank else None
    _show(done, merged, as_json)


def _show(done: Tuned, merged: Path | None, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**asdict(done), "folder": str(done.folder), "merged": merged and str(merged)}))
        return
    rows = [
        [
            "untrained" if epoch["number"] == 0 else f"round {epoch['number']}",
            "-" if epoch["loss"] is None else f"{epoch['loss']:.4f}",
            f"{100 * epoch['score']:.1f}",
        ]
        for epoch in done.history
    ]
    table(["", "loss", "dev likelihood, %"], rows)
    for name, score in done.scores.items():
        say(f"{name}: {100 * score:.1f} % of dev answers right")
    say(f"{done.exercises} exercises; {done.folder}")
    if merged:
        say(f"merged: {merged}")

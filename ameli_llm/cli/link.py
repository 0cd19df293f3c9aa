"""``ameli-llm link``: the whole pipeline over a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

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
from ameli_llm.cli.results import failures_json, print_failures, print_json, print_scores
from ameli_llm.cli.terminal import progress, say
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from ameli_llm.config import RunConfig
    from eval.experiment import Outcome


def register(app: typer.Typer) -> None:
    """Adds ``link`` to the app."""
    app.command("link")(link)


def link(
    dataset: DatasetArgument,
    split: SplitOption,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Run folder; an unfinished run goes on.")],
    config: ConfigOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    limit: LimitOption = None,
    index: IndexOption = None,
    prompts: PromptsOption = None,
    settings: SettingsOption = None,
    official: Annotated[
        bool,
        typer.Option(
            "--official",
            help="As the official AMELI code: with its leaks, each named in the result, and its counting.",
        ),
    ] = False,
    transcripts: Annotated[
        bool, typer.Option(help="Keep every prompt and reply, and what each stage gave, in the run.")
    ] = True,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Take each stage whose inputs are unchanged from this run; repeatable.",
        ),
    ] = None,
    on: Annotated[
        Literal["local", "ray"],
        typer.Option("--on", help="Link in this process, or by workers on Ray (docs/distributed.md)."),
    ] = "local",
    as_json: JsonOption = False,
) -> None:
    """Link the reviews of a split; with gold, evaluate and report.

    The same command again takes an interrupted run up, and does nothing when it is finished. Exit code 1
    when more reviews failed than the configuration allows.
    """
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.pipeline import open_pipeline
    from eval.experiment import link_split
    from eval.official.leaks import Official

    resolved = resolve_config(config, engine, model, settings or ())
    elsewhere = None
    if on == "ray":
        from ameli_llm.distributed.workplace import on_ray

        elsewhere = on_ray(dataset)
    with progress(GOES_ON) as show:
        data = load_dataset(dataset)
        chosen = data.split(split)
        with open_pipeline(data, resolved, index, show, prompts) as pipeline:
            leaks = Official() if official else None
            outcome = link_split(
                pipeline, data, chosen, out, show, limit, leaks, transcripts, reuse or (), elsewhere
            )
    show_outcome(outcome, as_json)
    if outcome.error_rate > resolved.engine.max_error_rate:
        raise typer.Exit(1)


def resolve_config(path: Path | None, engine: str, model: str, settings: Sequence[str]) -> RunConfig:
    """The configuration file with the command line's overrides on top.

    Raises AmeliError when these name an engine that nothing asks.
    """
    from ameli_llm.config import chosen, load_config
    from ameli_llm.resolution import require_asking

    config = chosen(load_config(path), engine, model, settings)
    if engine:
        require_asking(config)
    return config


def show_outcome(outcome: Outcome, as_json: bool) -> None:
    """Prints where the run is, the commonest failures and, with gold, the scores."""
    path = outcome.folder.path
    if as_json:
        content: dict[str, Any] = {"run": str(path), "fresh": outcome.fresh, "error_rate": outcome.error_rate}
        content |= {"taken": dict(outcome.taken)}
        print_json({**content, "failures": failures_json(outcome.failures), "metrics": outcome.metrics})
        return
    if outcome.metrics is not None:
        print_scores(outcome.metrics)
    print_failures(outcome.failures)
    if outcome.taken:
        say("taken as it was: " + ", ".join(f"{stage} of {n}" for stage, n in outcome.taken.items()))
    if outcome.metrics is not None:
        say(f"report: {path / 'report.html'}")
    say(f"run: {path} ({outcome.fresh} linked now)")

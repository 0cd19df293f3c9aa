"""``ameli-llm watch``: what each saved version of a template fixes and breaks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ameli_llm.cli.options import (
    ConfigOption,
    DatasetArgument,
    EngineOption,
    IndexOption,
    ModelOption,
    PromptsOption,
    SettingsOption,
    SplitOption,
    complete_template,
)
from ameli_llm.cli.terminal import progress, say
from ameli_llm.interruption import Interrupted

if TYPE_CHECKING:
    from eval.watching.breaks import Break
    from eval.watching.trials import Change
    from eval.watching.watch import Step


def register(app: typer.Typer) -> None:
    """Adds ``watch`` to the app."""
    app.command("watch")(watch)


def watch(
    template: Annotated[
        str,
        typer.Argument(
            metavar="TEMPLATE",
            help="Name (compare/mine) or path of the .j2 file that you edit.",
            autocompletion=complete_template,
        ),
    ],
    dataset: DatasetArgument,
    split: SplitOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the runs, one a version.")],
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", min=1, help="Only N reviews that stand for the split."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Which N reviews.")] = 0,
    config: ConfigOption = None,
    engine: EngineOption = "",
    model: ModelOption = "",
    index: IndexOption = None,
    prompts: PromptsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Link a sample anew whenever a template is saved.

    Prints what each version fixes and breaks of the first one, exact p, and why the largest breaks broke. A
    template that cannot be sent shows what to mend. Ctrl-C ends.
    """
    from ameli_llm.config import chosen, load_config
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.templates.load import template_path
    from eval.watching.drafts import read_draft
    from eval.watching.saves import places, saves
    from eval.watching.trials import open_trials, sample_of
    from eval.watching.watch import watch as steps

    resolved = chosen(load_config(config), engine, model, settings or ())
    first = read_draft(template, prompts)
    path = template_path(template, prompts)
    try:
        data = load_dataset(dataset)
        reviews = data.split(split)
        if sample is not None:
            reviews = sample_of(data, reviews, sample, seed)
        with (
            progress("") as show,
            open_trials(
                data, reviews, resolved, first, out, index=index, prompts=prompts, progress=show
            ) as trials,
            saves(places(path, prompts)) as changes,
        ):
            for step in steps(trials, lambda: read_draft(template, prompts), changes, show):
                for line in _lines(step):
                    say(line)
                say(f"watching {path}; Ctrl-C ends", err=True)
    except Interrupted as stop:
        if stop.number != signal.SIGINT:
            raise
        say(f"the runs are in {out}")


def _lines(step: Step) -> Iterator[str]:
    from eval.measures.showing import percent

    name = f"version {step.number}" if step.number else "baseline"
    for finding in step.findings:
        yield f"{name}: {finding.code}: {finding.message}"
    if step.error:
        yield f"{name}: error: {step.error}"
    if step.trial is None:
        return
    one = step.trial
    metrics = one.outcome.metrics or {}
    score = f"end-to-end F1 {percent(metrics.get('end_to_end_f1'))} %"
    cost = f"{one.requests} requests, {one.seconds:.1f} s; {one.run.path}"
    if step.change is None:
        yield f"{name}: {metrics.get('n')} reviews, {score}; {cost}"
        return
    yield f"{name}: {_result(step.change)}, {score}; {cost}"
    yield from (f"  {_why(one)}" for one in step.change.breaks)


def _result(change: Change) -> str:
    paired = change.comparison.paired
    answered = paired.answered
    failed = f", {paired.failed_b} failed" if paired.failed_b else ""
    return f"{len(answered.fixed)} fixed, {len(answered.broken)} broken, p {answered.p:.3g}{failed}"


def _why(one: Break) -> str:
    chosen = one.chosen or one.state
    return (
        f"broke {one.review}: {one.cause}; right {one.right or 'none of the knowledge base'}, "
        f"now {chosen}; confidence {one.before:.2f}, now {one.now:.2f}"
    )

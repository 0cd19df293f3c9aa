"""``ameli-llm matrix``: templates, models and settings against each other, on one sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ameli_llm.cli.options import IndexOption, JsonOption
from ameli_llm.cli.results import print_json
from ameli_llm.cli.terminal import progress, say, table
from ameli_llm.interruption import GOES_ON

if TYPE_CHECKING:
    from eval.experiment import Outcome
    from eval.matrix.forecast import Forecast
    from eval.matrix.run import Matrix


def register(app: typer.Typer) -> None:
    """Adds ``matrix`` to the app."""
    app.command("matrix")(matrix)


def matrix(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The matrix, as YAML (docs/matrix.md).")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the runs; an unfinished matrix goes on.")
    ],
    most_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens-total",
            metavar="N",
            min=0,
            help="Stop before the call that could exceed N tokens, sent and received in all.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
    ] = False,
    index: IndexOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table in Markdown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Link a sample with each combination of prompts and models.

    What has to be sent is said first, then each combination is paired with the baseline. The same command
    again takes an interrupted matrix up. Exit code 1 when the tokens are spent, or when more reviews failed
    than a configuration allows.
    """
    from eval import tables
    from eval.matrix.ledger import BudgetSpentError
    from eval.matrix.plan import read_plan
    from eval.matrix.run import open_matrix
    from eval.matrix.scores import scored

    plan = read_plan(file)
    with progress(GOES_ON) as show, open_matrix(plan, out, show, index, most_tokens) as opened:
        try:
            forecast = opened.forecast()
            if dry_run:
                _print_forecast(forecast, as_json)
                return
            say(f"to send: {_ahead(forecast)}", err=True)
            if forecast.seconds is None:
                forecast = opened.timed(forecast)
                say(f"after the first calls: {forecast.seconds or 0:.1f} s of the models in all", err=True)
            outcomes = opened.link()
        except BudgetSpentError as stop:
            say(f"stopped: {stop}", err=True)
            raise typer.Exit(1) from stop
        found = scored(opened, outcomes)
        if as_json:
            print_json({"out": str(out), **found.document()})
        elif markdown:
            say(tables.markdown(found.table()))
        else:
            shown = found.table()
            say(f"{shown.title}: {shown.caption}\n")
            table(shown.columns, shown.rows)
        say(f"{_sent(opened)}; expected were {_ahead(forecast)}", err=True)
        _leave(opened, outcomes)


def _ahead(forecast: Forecast) -> str:
    total = forecast.total
    about = "about " if forecast.estimated else ""
    parts = [f"{total.calls} calls", f"{about}{total.prompt} prompt tokens"]
    parts += [f"at most {total.completion} tokens of replies"] if total.calls else []
    if forecast.seconds is None:
        parts.append("time not known before the first calls")
    elif total.calls:
        parts.append(f"{forecast.seconds:.1f} s of the models")
    note = f" ({total.after} of the calls follow a reply that is not there yet)" if total.after else ""
    return ", ".join(parts) + note


def _sent(opened: Matrix) -> str:
    now = opened.ledger.now
    return (
        f"sent now: {now.calls} calls, {now.prompt} prompt tokens, {now.completion} tokens of replies, "
        f"{now.seconds:.1f} s of the models"
    )


def _print_forecast(forecast: Forecast, as_json: bool) -> None:
    names = ("calls", "prompt", "completion", "after")
    cells = {cell: {name: getattr(one, name) for name in names} for cell, one in forecast.cells.items()}
    if as_json:
        total = {name: getattr(forecast.total, name) for name in names}
        rest = {"estimated": forecast.estimated, "seconds": forecast.seconds}
        print_json({"cells": cells, "total": total, **rest})
        return
    header = ("to send", "calls", "prompt tokens", "replies at most", "after a reply")
    table(header, [(cell, *map(str, one.values())) for cell, one in cells.items()])
    say(f"in all: {_ahead(forecast)}")


def _leave(opened: Matrix, outcomes: Mapping[str, Outcome]) -> None:
    """Exit code 1 when more reviews of a cell failed than its configuration allows."""
    beyond = [
        f"{cell}: {outcome.error_rate:.1%} of the reviews failed"
        for cell, outcome in outcomes.items()
        if outcome.error_rate > opened.cells[cell].engine.max_error_rate
    ]
    for line in beyond:
        say(line, err=True)
    if beyond:
        raise typer.Exit(1)

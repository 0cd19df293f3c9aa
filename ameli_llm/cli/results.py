"""What several commands print of a run: its scores, its failures, and that it is unfinished."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from ameli_llm.cli.terminal import printable, table

if TYPE_CHECKING:
    from eval.failures import FailureKind
    from eval.standing import Standing

UNFINISHED = 3
"""Exit code for a run that is not finished: what was printed is of the reviews done so far."""


def print_json(content: Mapping[str, Any]) -> None:
    """One JSON object in UTF-8, which has no lone surrogates."""
    text = json.dumps(content, ensure_ascii=False)
    typer.echo(text.encode("utf-8", "replace").decode("utf-8"))


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table and a blank line; nothing without rows. Long cells are cut."""
    cells = [[_short(str(cell)) for cell in row] for row in rows]
    if cells:
        table(header, cells)


def print_scores(document: Mapping[str, Any]) -> None:
    """The content of ``metrics.json``: every measure as it wants to be shown."""
    from eval.measures import shown
    from eval.measures.showing import percent

    parts = [part for _, part in shown(document)]
    for line in (line for part in parts for line in part.head):
        typer.echo(printable(line))
    typer.echo()
    print_table(
        ("measure, %", "value [95 % interval]", "n"),
        (
            (score.name, percent(score.interval), score.interval["n"] if score.interval else "-")
            for part in parts
            for score in part.scores
        ),
    )
    for grid in (grid for part in parts for grid in part.grids):
        print_table(grid.header, grid.rows)
    for line in (line for part in parts for line in part.lines):
        typer.echo(printable(line))


def print_failures(kinds: Sequence[FailureKind], runs: Sequence[str] = ("reviews",)) -> None:
    """The commonest messages of failed reviews with their number in each of the runs; nothing without any."""
    from eval.failures import COMMONEST

    if not kinds:
        return
    rows = [[f"{one.state}: {one.message}", *map(str, one.reviews)] for one in kinds[:COMMONEST]]
    if rest := kinds[COMMONEST:]:
        counts = [str(sum(one.reviews[run] for one in rest)) for run in range(len(runs))]
        rows.append([f"{len(rest)} other messages", *counts])
    table(["failed", *runs], rows)


def failures_json(kinds: Sequence[FailureKind]) -> list[dict[str, Any]]:
    """The failures of a single run."""
    return [{"state": one.state, "message": one.message, "reviews": one.reviews[0]} for one in kinds]


def print_unfinished(runs: Mapping[str, Standing], err: bool = False) -> None:
    """A line for each run that is unfinished; ``runs`` are by what they are called, "" for a single one."""
    for name, one in runs.items():
        if not one.finished:
            typer.echo(f"{name}: {one}" if name else str(one), err=err)


def unfinished(runs: Mapping[str, Standing]) -> dict[str, Any]:
    """The key ``unfinished`` of a JSON object, for a single run or by name; absent when all are finished."""
    found = {
        name.lower(): {"done": one.done, "asked": one.asked} for name, one in runs.items() if not one.finished
    }
    return {"unfinished": found.get("", found)} if found else {}


def leave(runs: Mapping[str, Standing]) -> None:
    """Ends the command with ``UNFINISHED`` when a run is."""
    if not all(one.finished for one in runs.values()):
        raise typer.Exit(UNFINISHED)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."

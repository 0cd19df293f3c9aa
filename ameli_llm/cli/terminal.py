"""Tables on stdout and progress on stderr: rich on a terminal, plain aligned lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from ameli_llm.interruption import ANEW, Interrupted, safe_point
from ameli_llm.types import Progress


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints text in the first column and numbers in the others, and a blank line after it."""
    cells = [[printable(cell) for cell in row] for row in [header, *rows]]
    if sys.stdout.isatty():
        _rich_table(cells)
    else:
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        for first, *others in cells:
            numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
            typer.echo("  ".join([first.ljust(widths[0]), *numbers]).rstrip())
    typer.echo()


def printable(text: str) -> str:
    """The text without control characters: a dataset must not steer the terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def say(text: str, *, err: bool = False) -> None:
    """Prints a line or several, whose control characters do not reach the terminal."""
    typer.echo(printable_lines(text), err=err)


def printable_lines(text: str) -> str:
    """The text without control characters other than its line ends."""
    return "\n".join(printable(line) for line in text.split("\n"))


@contextmanager
def progress(then: str = ANEW) -> Iterator[Progress]:
    """Shows stages on stderr: a bar each on a terminal, elsewhere a line per tenth.

    A command that is interrupted says what was shown last and ``then``: what the same command would do.
    """
    reached = ""
    with _bars() if sys.stderr.isatty() else _lines() as show:

        def shown(stage: str, done: int, total: int) -> None:
            nonlocal reached
            reached = f"{stage} {done}/{total}"
            show(stage, done, total)
            safe_point()

        try:
            yield shown
        except Interrupted as stop:
            stop.reached, stop.then = reached, then
            raise


@contextmanager
def _lines() -> Iterator[Progress]:
    shown: dict[str, int] = {}

    def line(stage: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if shown.get(stage) != tenth:
            shown[stage] = tenth
            typer.echo(f"{stage}: {done}/{total}", err=True)

    yield line


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def bar(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield bar


def _rich_table(cells: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table()
    for column, name in enumerate(cells[0]):
        shown.add_column(Text(name), justify="right" if column else "left")
    for row in cells[1:]:
        shown.add_row(*(Text(cell) for cell in row))
    Console().print(shown)

"""``ameli-llm data``: make, check and divide datasets. One file of this package is one command."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Adds the group ``data`` to the app."""
    from ameli_llm.cli.data import build, check, halves, importing, sheets, split, synth, verify

    group = typer.Typer(help="Import, build, check, divide or invent a dataset.", no_args_is_help=True)
    for command in (check, importing, build, sheets, verify, split, synth, halves):
        command.register(group)
    app.add_typer(group, name="data")

"""The command line: parses and calls. One file of this package is one group of commands.

Nothing heavy is imported before a command that needs it runs.
"""

from __future__ import annotations

import sys

import typer

import ameli_llm
from ameli_llm.errors import AmeliError

app = typer.Typer(
    name="ameli-llm",
    help="Links product reviews to the one right product of a knowledge base.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(ameli_llm.__version__)
        raise typer.Exit


def _groups() -> None:
    from ameli_llm.cli import (
        ablate,
        data,
        demo,
        doctor,
        evaluate,
        index,
        link,
        link_one,
        prompts,
        reproduce,
        train,
        tune,
    )

    groups = demo, doctor, data, index, tune, link, link_one, evaluate, ablate, prompts, train, reproduce
    for group in groups:
        group.register(app)


def main() -> None:
    """Entry point: one line on stderr and exit code 2 for every error that a user can act on."""
    _groups()
    try:
        app()
    except AmeliError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)

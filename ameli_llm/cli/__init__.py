"""The command line: parses and calls. One file of this package is one group of commands.

Nothing heavy is imported before a command that needs it runs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

import ameli_llm
from ameli_llm.cli.terminal import printable
from ameli_llm.errors import AmeliError
from ameli_llm.interruption import Interrupted, interruptible

NAME = "ameli-llm"
SECTIONS = {
    "Start": ("demo", "doctor", "models"),
    "Data": ("data",),
    "Link": ("index", "retrieve", "tune", "link", "link-one", "serve"),
    "Measure": ("evaluate", "compare", "report", "show", "ablate"),
    "Prompts": ("prompts", "watch", "workbench", "matrix"),
    "Train and reproduce": ("train", "reproduce"),
}
"""Commands as ``--help`` groups them; one that is named nowhere stands under "Other"."""


class Sections(TyperGroup):
    """A group whose help lists the commands by ``SECTIONS``."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes a list of commands a section."""
        left = dict.fromkeys(self.list_commands(ctx))
        width = formatter.width - 6 - max(map(len, left))
        named = {title: [name for name in names if name in left] for title, names in SECTIONS.items()}
        other = [name for name in left if not any(name in names for names in named.values())]
        for title, names in {**named, "Other": other}.items():
            if names:
                with formatter.section(title):
                    formatter.write_dl([(name, self._short(ctx, name, width)) for name in names])

    def _short(self, ctx: Any, name: str, width: int) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(width) if command else ""


app = typer.Typer(
    name=NAME,
    cls=Sections,
    help="Links product reviews to the one right product of a knowledge base.",
    no_args_is_help=True,
    rich_markup_mode=None,
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
        compare,
        data,
        demo,
        doctor,
        evaluate,
        index,
        link,
        link_one,
        matrix,
        models,
        prompts,
        reproduce,
        serve,
        show,
        train,
        tune,
        watch,
        workbench,
    )

    groups = (
        demo,
        doctor,
        models,
        data,
        index,
        tune,
        link,
        link_one,
        serve,
        evaluate,
        compare,
        show,
        ablate,
        matrix,
        prompts,
        watch,
        workbench,
        train,
        reproduce,
    )
    if not app.registered_commands:
        for group in groups:
            group.register(app)


def main() -> None:
    """Entry point: one line on stderr and exit code 2 for every error that a user can act on.

    130 and 143 after Ctrl-C and SIGTERM, with a line that says how far it came; 141, in silence, when nobody
    reads what is printed.
    """
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        code = 128 + signal.SIGPIPE
    sys.exit(code)


def _run() -> int:
    try:
        with interruptible():
            _groups()
            return app(prog_name=NAME, standalone_mode=False) or 0
    except AmeliError as error:
        _say(f"error: {error}")
        return 2
    except typer.TyperException as error:
        return _wrong_usage(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _say(f"error: Cannot write the result: {error.strerror}.")
        _discard_output()
        return 2
    except Interrupted as stop:
        _say(str(stop))
        return stop.exit_code
    except SystemExit as end:
        # The way in which typer ends when nobody reads its output.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise


def _wrong_usage(error: typer.TyperException) -> int:
    message = error.format_message()
    if message.startswith("Usage: "):  # a group without a command shows its help
        typer.echo(message, err=True)
        return 2
    context = getattr(error, "ctx", None)
    _say(f"error: {message.rstrip('.')}. Type: {context.command_path if context else NAME} --help")
    return 2


def _say(message: str) -> None:
    typer.echo(printable(" ".join(message.splitlines())), err=True)


def _discard_output() -> None:
    """Whatever is still buffered goes nowhere, so that the interpreter's last flush does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(AttributeError, OSError):
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]

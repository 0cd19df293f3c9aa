"""``ameli-llm models``: models that need no hub, where they are, and how to get them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ameli_llm.cli.options import JsonOption
from ameli_llm.cli.terminal import printable, progress, say


def register(app: typer.Typer) -> None:
    """Adds the group ``models`` to the app."""
    group = typer.Typer(help="Models without a hub: list, add, path.", no_args_is_help=True)
    group.command("list")(list_models)
    group.command("add")(add)
    group.command("path")(path)
    app.add_typer(group, name="models")


def complete_known() -> list[str]:
    """The known models by name."""
    from ameli_llm.models import KNOWN

    return [model.name for model in KNOWN]


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="As in the list.", autocompletion=complete_known)
]


def list_models(as_json: JsonOption = False) -> None:
    """List the known models: what for, licence, size, the package that carries them, whether here."""
    from ameli_llm.models import KNOWN, KnownModel, Standing, standing

    found = [(model, standing(model)) for model in KNOWN]
    if as_json:
        typer.echo(json.dumps({"models": [_row(model, state) for model, state in found]}))
        return
    header = ("name", "role", "licence", "size", "package", "here")

    def cells(model: KnownModel, state: Standing) -> tuple[str, ...]:
        size = f"{model.megabytes} MB" if model.megabytes else "no weights"
        return model.name, model.role, model.licence, size, model.package, state.state

    rows = [header, *(cells(model, state) for model, state in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    say("")
    for model, state in found:
        say(f"{model.name}: {model.purpose}; {state.detail}.")
        if state.fix:
            say(f"  -> {state.fix}")


def add(name: NameArgument, as_json: JsonOption = False) -> None:
    """Make a model's folder in the cache from its package, and print it.

    Nothing is made where it is there and whole. AMELI_LLM_CACHE names another cache folder.
    """
    from ameli_llm.models import known_model, model_folder, serve_line, standing

    model = known_model(name)
    with progress() as show:
        folder = model_folder(name, show)
    if as_json:
        typer.echo(json.dumps(_row(model, standing(model))))
        return
    say(str(folder))
    if line := serve_line(name):
        say(f"Use it with --engine transformers --model {name}; a server of it: {line}", err=True)


def path(name: NameArgument) -> None:
    """Print the folder of a model that is here; nothing is made."""
    from ameli_llm.models import found_folder

    typer.echo(printable(str(found_folder(name))))


def _row(model: Any, state: Any) -> dict[str, Any]:
    described = ("name", "role", "purpose", "licence", "megabytes", "package", "extra")
    folder = str(state.folder) if state.folder else None
    found = {"state": state.state, "detail": state.detail, "folder": folder, "fix": state.fix}
    return {name: getattr(model, name) for name in described} | found

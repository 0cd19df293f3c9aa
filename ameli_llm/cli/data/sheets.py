"""``ameli-llm data sheets``: sheets on which people choose the product of each review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ameli_llm.cli.options import DatasetArgument, JsonOption, SplitOption
from ameli_llm.cli.terminal import progress, say


def register(group: typer.Typer) -> None:
    """Adds the command ``sheets`` to the group."""
    group.command("sheets")(sheets)


def sheets(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to make.")],
    split: SplitOption = "test",
    similar: Annotated[
        int, typer.Option("--similar", help="Products to choose among: so many by title, as many by image.")
    ] = 10,
    per_sheet: Annotated[int, typer.Option("--per-sheet", min=1, help="Reviews of one file.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides the order of the options.")] = 0,
    text_encoder: Annotated[
        str, typer.Option("--text-encoder", metavar="NAME", help="NAME or NAME:MODEL.")
    ] = "sbert",
    image_encoder: Annotated[
        str, typer.Option("--image-encoder", metavar="NAME", help="NAME or NAME:MODEL; none.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Make sheets on which people choose the product of each review.

    Each is one HTML file that needs no network; it saves the answers as a file. key.json beside them has the
    right answers: give out the sheets, not the key.
    """
    from ameli_llm.dataset.construction.human.sheet import KEY, SheetSettings, write_sheets
    from ameli_llm.dataset.construction.settings import Models
    from ameli_llm.dataset.load import load_dataset
    from retrieval.similarity import open_tools

    tools = open_tools(Models(text=text_encoder, image=image_encoder))
    settings = SheetSettings(split, similar, per_sheet, seed)
    with progress() as show:
        sheets = write_sheets(load_dataset(dataset), out, settings, tools, show)
    if as_json:
        typer.echo(json.dumps({"sheets": [str(path) for path in sheets], "key": str(out / KEY)}))
        return
    for path in sheets:
        say(str(path))
    say(f"{out / KEY} has the right answers: it is not for those who answer.")

"""``ameli-llm data halves``: a split cut in two, to tune on one half and report the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ameli_llm.cli.options import DatasetArgument, SplitOption
from ameli_llm.cli.terminal import say


def register(group: typer.Typer) -> None:
    """Adds the command ``halves`` to the group."""
    group.command("halves")(halves)


def halves(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to make.")],
    split: SplitOption = "dev",
) -> None:
    """Cut a split into two halves without a gold product in common.

    To tune on one and report the other. Writes two datasets: in DIR/a, dev is the first half and test the
    second; in DIR/b the other way round.
    """
    from ameli_llm.dataset.halves import write_halves
    from ameli_llm.dataset.load import load_dataset

    first, second = write_halves(load_dataset(dataset), split, out)
    say(f"{out / 'a'}: dev {first}, test {second} reviews")
    say(f"{out / 'b'}: dev {second}, test {first} reviews")

"""``ameli-llm data split``: train, dev and test without a gold product in common."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ameli_llm.cli.options import DatasetArgument, JsonOption
from ameli_llm.cli.terminal import say, table
from ameli_llm.errors import AmeliError


def register(group: typer.Typer) -> None:
    """Adds the command ``split`` to the group."""
    group.command("split")(split)


def split(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to make.")],
    ratios: Annotated[str, typer.Option("--ratios", help="Reviews of train/dev/test.")] = "80/10/10",
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same split.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Divide all reviews into train, dev and test by gold product.

    No product is gold in two of them. Reviews whose product is outside the knowledge base, and those without
    gold, are spread alike.
    """
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.dataset.splitting import write_split

    if not re.fullmatch(r"[0-9]{1,6}(/[0-9]{1,6}){2}", ratios):
        raise AmeliError(f"--ratios {ratios} is not TRAIN/DEV/TEST.", hint="For instance: --ratios 80/10/10")
    parts = write_split(load_dataset(dataset), out, ratios=[int(n) for n in ratios.split("/")], seed=seed)
    if as_json:
        typer.echo(json.dumps({"dataset": str(out), "splits": {n: asdict(p) for n, p in parts.items()}}))
        return
    rows = [
        [name, *map(str, (part.reviews, part.products, part.nil, part.no_gold))]
        for name, part in parts.items()
    ]
    table(["split", "reviews", "gold products", "outside the KB", "without gold"], rows)
    say(str(out))

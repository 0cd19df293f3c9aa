"""``ameli-llm data verify``: the reviews of a split whose product people found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, get_args

import typer

from ameli_llm.cli.options import DatasetArgument, JsonOption
from ameli_llm.cli.terminal import say
from ameli_llm.errors import UnknownNameError


def register(group: typer.Typer) -> None:
    """Adds the command ``verify`` to the group."""
    group.command("verify")(verify)


def verify(
    dataset: DatasetArgument,
    answers: Annotated[
        list[Path], typer.Argument(metavar="ANSWERS...", help="Files that the sheets have saved.")
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="key.json of the sheets.")],
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="Folder to make.")],
    keep: Annotated[
        str, typer.Option("--keep", help="Reviews that all, the majority or any who answered have found.")
    ] = "majority",
    as_json: JsonOption = False,
) -> None:
    """Keep the reviews of a split whose product people found.

    Prints how often each of them was right, and how far they agree.
    """
    from ameli_llm.dataset.construction.human.answers import read_answers, read_key
    from ameli_llm.dataset.construction.human.verified import Keep, write_verified
    from ameli_llm.dataset.load import load_dataset

    rules: tuple[Keep, ...] = get_args(Keep)
    rule = next((name for name in rules if name == keep), None)
    if rule is None:
        raise UnknownNameError("way to keep reviews", keep, rules)
    known = read_key(key)
    done = write_verified(load_dataset(dataset), out, known, read_answers(answers, known), rule)
    if as_json:
        typer.echo(json.dumps({"dataset": str(out), **done.account}))
        return
    say(f"{done.kept} of {done.answered} answered reviews kept; {done.unanswered} unanswered")
    for name, one in done.account["annotators"].items():
        right = one["right"]
        share = f"{100 * right['value']:.1f} % [{100 * right['low']:.1f}, {100 * right['high']:.1f}]"
        say(f"{name}: {share} of {right['n']} right, {one['cannot_tell']} cannot tell")
    if agreed := done.account["agreement"]:
        kappa = "not defined" if agreed["kappa"] is None else f"{agreed['kappa']:.3f}"
        say(f"{agreed['measure']}: {kappa} on {agreed['items']} reviews")
    say(done.account["note"])
    say(str(out))

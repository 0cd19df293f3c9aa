"""``ameli-llm data build``: raw product and review dumps to a benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ameli_llm.cli.data.tables import (
    EncodingOption,
    MapOption,
    MappingOption,
    ProductsOption,
    ReviewsOption,
)
from ameli_llm.cli.options import JsonOption, SettingsOption
from ameli_llm.cli.terminal import printable, progress, say

if TYPE_CHECKING:
    from ameli_llm.dataset.construction.writing import Written

FURTHER = "The same command goes on from there."


def register(group: typer.Typer) -> None:
    """Adds the command ``build`` to the group."""
    group.command("build")(build)


def build(
    raw: Annotated[Path, typer.Argument(metavar="RAW", help="Folder of raw products, reviews and images.")],
    out: Annotated[Path, typer.Option("--out", metavar="DATASET", help="Folder to make.")],
    products: ProductsOption = None,
    reviews: ReviewsOption = None,
    words: MapOption = None,
    mapping: MappingOption = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", metavar="DIR", help="Where image paths start; else beside the file, or RAW."
        ),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="Settings of the build as YAML.")
    ] = None,
    set_: SettingsOption = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="RULE", help="Leave a rule out; repeatable.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="CSV of review_id,informative to learn the filter on."),
    ] = None,
    encoding: EncodingOption = "utf-8",
    as_json: JsonOption = False,
) -> None:
    """Build a benchmark of raw products and reviews.

    Rules, mentions, crops, a filter of uninformative reviews, a split (paper, section 3).

    Writes DATASET with build.html, the page that says what each step kept and dropped, and provenance.json.
    Killed, the same command goes on where it was.
    """
    from ameli_llm.dataset.construction.build import Sources, build_dataset
    from ameli_llm.dataset.construction.labels import read_labels
    from ameli_llm.dataset.construction.raw import raw_files
    from ameli_llm.dataset.construction.settings import read_settings
    from ameli_llm.dataset.importing.mapping import read_mapping
    from ameli_llm.dataset.importing.plan import plan_import
    from retrieval.similarity import build_tools

    chosen = read_settings(settings, set_ or (), without or ())
    plan = plan_import(
        () if products or reviews or mapping else raw_files(raw),
        products=products or (),
        reviews=reviews or (),
        mapping=read_mapping(mapping) if mapping else None,
        words=words or (),
        encoding=encoding,
    )
    judged = read_labels(labels) if labels else None
    tools = build_tools(chosen, labelled=judged is not None)
    with progress(FURTHER) as show:
        written = build_dataset(Sources(raw, plan, images, judged), out, chosen, tools, progress=show)
    if as_json:
        typer.echo(json.dumps({"dataset": str(out), **written.account}))
    else:
        _print(written)
        say(f"Tables 2 and 3 of the paper for it: ameli-llm data check {out}")
        say(str(out))


def _print(written: Written) -> None:
    from ameli_llm.dataset.construction.page import remarks, step_views

    for step in step_views(written.account):
        typer.echo(f"{step.title}: {step.kept} kept, {step.lost} dropped")
        for count in (*step.dropped, *step.notes):
            thing, verb = count["what"].split(" ")
            said = count["reason"] if verb == "noted" else f"{thing} {count['reason']}"
            typer.echo(f"  {verb}: {printable(said)}: {count['number']}")
    for remark in remarks(written.account):
        say(remark)
    reviews = ", ".join(f"{number} {name}" for name, number in written.reviews.items())
    typer.echo(f"products: {written.products}; reviews: {reviews}; images: {written.images}")

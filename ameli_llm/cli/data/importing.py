"""``ameli-llm data import``: other people's tables as a dataset."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ameli_llm.cli.data.check import check_json, print_check
from ameli_llm.cli.data.tables import (
    EncodingOption,
    MapOption,
    MappingOption,
    ProductsOption,
    ReviewsOption,
)
from ameli_llm.cli.options import JsonOption
from ameli_llm.cli.terminal import printable, progress
from ameli_llm.errors import AmeliError

if TYPE_CHECKING:
    from ameli_llm.dataset.importing.plan import Plan
    from ameli_llm.dataset.importing.run import Imported


def register(group: typer.Typer) -> None:
    """Adds the command ``import`` to the group."""
    group.command("import")(import_)


def import_(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Products and reviews; which is which is guessed."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DATASET", help="Folder to make.")] = None,
    products: ProductsOption = None,
    reviews: ReviewsOption = None,
    words: MapOption = None,
    mapping: MappingOption = None,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write-mapping", metavar="FILE", help="Write the mapping; without --out, nothing else."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split of reviews that name none: train, dev or test.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Where image paths start; else beside the file."),
    ] = None,
    outside: Annotated[
        bool,
        typer.Option("--outside-is-nil", help="Gold products that are not in the files are outside the KB."),
    ] = False,
    encoding: EncodingOption = "utf-8",
    as_json: JsonOption = False,
) -> None:
    """Make a dataset of CSV, TSV, JSON, JSON lines or Parquet files.

    Checks it in the end, and shows what each column becomes, what was left out and why. Exit code 1 as data
    check has it.
    """
    from ameli_llm.dataset.check import check_dataset
    from ameli_llm.dataset.importing.mapping import read_mapping, write_mapping
    from ameli_llm.dataset.importing.plan import plan_import
    from ameli_llm.dataset.importing.run import import_dataset
    from ameli_llm.dataset.load import load_dataset

    if out is None and write is None:
        raise AmeliError("Nothing to make.", hint="Name it: --out DATASET, or --write-mapping FILE.")
    plan = plan_import(
        files or (),
        products=products or (),
        reviews=reviews or (),
        mapping=read_mapping(mapping) if mapping else None,
        words=words or (),
        split=split,
        encoding=encoding,
    )
    if write is not None:
        write_mapping(plan.mapping, write)
    if not as_json:
        _print_plan(plan)
    if out is None:
        typer.echo(json.dumps({"mapping": plan.mapping.model_dump(mode="json")}) if as_json else str(write))
        return
    with progress() as show:
        imported = import_dataset(plan, out, images=images, outside_is_nil=outside, progress=show)
        if not as_json:
            _print_imported(imported)
        check = check_dataset(load_dataset(out), progress=show)
    if as_json:
        mapped = plan.mapping.model_dump(mode="json")
        typer.echo(
            json.dumps(
                {"dataset": str(out), "mapping": mapped, **asdict(imported), "check": check_json(check)}
            )
        )
    else:
        print_check(check)
        typer.echo(str(out))
    if not check.passed:
        raise typer.Exit(1)


def _print_plan(plan: Plan) -> None:
    for kind, columns in plan.columns.items():
        part = plan.mapping.of(kind)
        if not part.files:
            continue
        typer.echo(f"{kind}: {', '.join(map(printable, part.files))}")
        if part.records == "ameli":
            typer.echo("records as they are: they have AMELI's fields\n")
            continue
        rows = [("column", "becomes", "filled", "for instance")]
        rows += ((c.name, part.columns[c.name], str(c.filled), c.example) for c in columns)
        _print_columns([[printable(cell) for cell in row] for row in rows])


def _print_columns(rows: list[list[str]]) -> None:
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    typer.echo()


def _print_imported(imported: Imported) -> None:
    reviews = ", ".join(f"{count} {name}" for name, count in imported.reviews.items()) or "none"
    typer.echo(f"products: {imported.products} of {imported.rows.get('products', 0)} rows")
    typer.echo(f"reviews: {reviews} of {imported.rows.get('reviews', 0)} rows")
    typer.echo(f"images: {imported.images}")
    for loss in imported.losses:
        typer.echo(f"left out: {loss.what} {printable(loss.reason)}: {loss.count}")
        for place in loss.places:
            typer.echo(f"  {printable(place)}")
    typer.echo()

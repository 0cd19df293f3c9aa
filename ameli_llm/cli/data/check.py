"""``ameli-llm data check``: what is in a dataset, and what is degraded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from ameli_llm.cli.options import DatasetArgument, JsonOption
from ameli_llm.cli.terminal import printable, progress, table

if TYPE_CHECKING:
    from ameli_llm.dataset.check import Check, Finding
    from ameli_llm.dataset.statistics import SplitStatistics

_NAMED = 5


def register(group: typer.Typer) -> None:
    """Adds the command ``check`` to the group."""
    group.command("check")(check)


def check(
    dataset: DatasetArgument,
    as_json: JsonOption = False,
    fast: bool = typer.Option(False, "--fast", help="Read only the headers of images."),
) -> None:
    """Validate a dataset, with the statistics of Tables 2 and 3.

    Names every degraded input. Exit code 1 when something makes results meaningless: no products or reviews,
    repeated ids, gold products outside the KB that do not say so.
    """
    from ameli_llm.dataset.check import check_dataset
    from ameli_llm.dataset.load import load_dataset

    with progress() as show:
        result = check_dataset(load_dataset(dataset), decode=not fast, progress=show)
    if as_json:
        typer.echo(json.dumps({"dataset": str(dataset), **check_json(result)}))
    else:
        print_check(result)
    if not result.passed:
        raise typer.Exit(1)


def check_json(result: Check) -> dict[str, object]:
    """What ``--json`` says of a check."""
    return {
        "passed": result.passed,
        "digest": result.digest,
        "kb": asdict(result.kb),
        "splits": {split.name: asdict(split) for split in result.splits},
        "problems": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "count": finding.count,
                "all": [{"where": problem.where, "message": problem.message} for problem in finding.problems],
            }
            for finding in result.findings
        ],
    }


def print_check(result: Check) -> None:
    """The statistics of the paper's Tables 2 and 3, and the findings."""
    if result.splits:
        table(["", *(split.name for split in result.splits)], _split_rows(result.splits))
    kb = result.kb
    table(
        ["knowledge base", ""],
        [
            ["products", str(kb.products)],
            ["product images", str(kb.images)],
            ["product categories", str(kb.categories)],
            ["images per product", f"{kb.images_per_product:.2f}"],
            ["attributes per product", f"{kb.attributes_per_product:.2f}"],
            ["with description", str(kb.with_description)],
        ],
    )
    shares = [[row.category, str(row.products), f"{100 * row.share:.2f}"] for row in kb.top_categories]
    table(["most frequent categories", "products", "%"], shares)
    for finding in result.findings:
        _print_finding(finding)
    if not result.findings:
        typer.echo("no problems")


def _split_rows(splits: Sequence[SplitStatistics]) -> list[list[str]]:
    """Table 2 of the paper: a row a figure, a column a split."""
    return [
        ["reviews", *(str(split.reviews) for split in splits)],
        ["review images", *(str(split.images) for split in splits)],
        ["images per review", *(f"{split.images_per_review:.2f}" for split in splits)],
        ["reviews with image", *(str(split.with_image) for split in splits)],
        ["words per review", *(f"{split.words_per_review:.1f}" for split in splits)],
        ["gold product in the KB", *(str(split.scored) for split in splits)],
        ["gold product outside (nil)", *(str(split.nil) for split in splits)],
        ["distinct gold products", *(str(split.gold_products) for split in splits)],
    ]


def _print_finding(finding: Finding) -> None:
    typer.echo(f"{finding.severity}: {finding.code}: {finding.count}")
    for problem in finding.problems[:_NAMED]:
        typer.echo(f"  {printable(problem.where)}: {printable(problem.message)}")
    if finding.count > _NAMED:
        typer.echo(f"  ... and {finding.count - _NAMED} more (--json names all)")

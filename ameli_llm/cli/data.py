"""``ameli-llm data``: check a dataset, make a synthetic one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ameli_llm.cli.options import DatasetArgument, JsonOption, SplitOption
from ameli_llm.cli.terminal import printable, progress, table

if TYPE_CHECKING:
    from ameli_llm.dataset.check import Check, Finding
    from ameli_llm.dataset.statistics import SplitStatistics

_NAMED = 5


def register(app: typer.Typer) -> None:
    """Adds the group ``data`` to the app."""
    group = typer.Typer(help="Check a dataset, make a synthetic one, halve a split.", no_args_is_help=True)
    group.command("check")(check)
    group.command("synth")(synth)
    group.command("halves")(halves)
    app.add_typer(group, name="data")


def check(
    dataset: DatasetArgument,
    as_json: JsonOption = False,
    fast: bool = typer.Option(False, "--fast", help="Read only the headers of images."),
) -> None:
    """Validate a dataset: statistics of the paper's Tables 2 and 3, and every degraded input.

    Exit code 1 when something makes results meaningless: no products or reviews, repeated ids, gold
    products outside the KB that do not say so.
    """
    from ameli_llm.dataset.check import check_dataset
    from ameli_llm.dataset.load import load_dataset

    with progress() as show:
        result = check_dataset(load_dataset(dataset), decode=not fast, progress=show)
    if as_json:
        typer.echo(json.dumps({"dataset": str(dataset), **_as_json(result)}))
    else:
        _print(result)
    if not result.passed:
        raise typer.Exit(1)


def synth(
    out: Path = typer.Argument(..., metavar="OUT", help="Folder to write; must be empty or absent."),
    products: int = typer.Option(200, "--products", min=20, max=35_598, help="Products in the KB."),
    reviews: int = typer.Option(300, "--reviews", min=1, help="Reviews over all splits."),
    seed: int = typer.Option(0, "--seed", help="Same seed, same bytes."),
    difficulty: float = typer.Option(0.5, "--difficulty", min=0.0, max=1.0, help="0 easy, 1 hard."),
    images: bool = typer.Option(True, "--images/--no-images", help="Draw the pictures."),
) -> None:
    """Write a synthetic twin of AMELI: products, reviews with gold, images; train, dev and test."""
    from ameli_llm.dataset.synth import write_twin

    with progress(f"delete {out} before the same command") as show:
        write_twin(out, products=products, reviews=reviews, seed=seed, difficulty=difficulty, progress=show)
    typer.echo(str(out))


def halves(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to make.")],
    split: SplitOption = "dev",
) -> None:
    """Cut a split into two halves without a gold product in common: tune on one, report the other.

    Writes two datasets: in DIR/a, dev is the first half and test the second; in DIR/b the other way round.
    """
    from ameli_llm.dataset.halves import write_halves
    from ameli_llm.dataset.load import load_dataset

    first, second = write_halves(load_dataset(dataset), split, out)
    typer.echo(f"{out / 'a'}: dev {first}, test {second} reviews")
    typer.echo(f"{out / 'b'}: dev {second}, test {first} reviews")


def _as_json(result: Check) -> dict[str, object]:
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


def _print(result: Check) -> None:
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

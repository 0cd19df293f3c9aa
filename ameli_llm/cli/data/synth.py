"""``ameli-llm data synth``: a synthetic dataset."""

from __future__ import annotations

from pathlib import Path

import typer

from ameli_llm.cli.terminal import progress, say


def register(group: typer.Typer) -> None:
    """Adds the command ``synth`` to the group."""
    group.command("synth")(synth)


def synth(
    out: Path = typer.Argument(..., metavar="OUT", help="Folder to write; must be empty or absent."),
    products: int = typer.Option(200, "--products", min=20, max=35_598, help="Products in the KB."),
    reviews: int = typer.Option(300, "--reviews", min=1, help="Reviews over all splits."),
    seed: int = typer.Option(0, "--seed", help="Same seed, same bytes."),
    difficulty: float = typer.Option(0.5, "--difficulty", min=0.0, max=1.0, help="0 easy, 1 hard."),
    images: bool = typer.Option(True, "--images/--no-images", help="Draw the pictures."),
) -> None:
    """Write a synthetic twin of AMELI, with gold and images.

    Products, and reviews in train, dev and test.
    """
    from ameli_llm.dataset.synth import write_twin

    with progress(f"delete {out} before the same command") as show:
        write_twin(
            out,
            products=products,
            reviews=reviews,
            seed=seed,
            difficulty=difficulty,
            images=images,
            progress=show,
        )
    say(str(out))

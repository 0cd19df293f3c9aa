"""The synthetic twin: a data set in AMELI's format, invented from end to end, images included.

``write_twin`` is all that other code needs. catalogue -> products -> pages and reviews -> photos -> layout.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ameli_llm.errors import AmeliError

MIN_PRODUCTS = 20
MAX_PRODUCTS = 35_598


def write_twin(
    out: Path,
    *,
    products: int,
    reviews: int,
    seed: int,
    difficulty: float = 0.5,
    images: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Write a synthetic data set into the new or empty folder ``out``; equal arguments give equal bytes.

    Without ``images`` no picture is drawn and the records name none. ``progress`` is called with a stage
    ("products", "reviews"), the number done and the total. Raises AmeliError when an argument is out of range
    or the folder holds files.
    """
    from ameli_llm.dataset.synth.canvas import Fonts
    from ameli_llm.dataset.synth.catalogue import load_catalogue
    from ameli_llm.dataset.synth.layout import make_plan, write_products, write_reviews

    _check(products, reviews, seed, difficulty)
    _prepare(out)
    catalogue, fonts = load_catalogue(), Fonts()
    plan = make_plan(catalogue, products, reviews, seed, difficulty)
    write_products(plan, out, fonts if images else None, progress)
    write_reviews(plan, out, catalogue, fonts if images else None, progress)


def _check(products: int, reviews: int, seed: int, difficulty: float) -> None:
    if not MIN_PRODUCTS <= products <= MAX_PRODUCTS:
        raise AmeliError(
            f"A twin of {products} products was asked for.",
            hint=f"Give {MIN_PRODUCTS} to {MAX_PRODUCTS} products.",
        )
    if reviews < 0:
        raise AmeliError(f"A twin of {reviews} reviews was asked for.", hint="Give 0 or more reviews.")
    if seed < 0:
        raise AmeliError(f"The seed {seed} is negative.", hint="Give 0 or a positive number.")
    if not 0 <= difficulty <= 1:
        raise AmeliError(f"The difficulty {difficulty} is out of range.", hint="Give a number from 0 to 1.")


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        occupied = any(out.iterdir())
    except OSError as error:
        raise AmeliError(
            f"Cannot write a twin to {out}: {error.strerror}.", hint="Name a new folder."
        ) from error
    if occupied:
        raise AmeliError(f"The folder {out} is not empty.", hint="Name a new or an empty folder.")

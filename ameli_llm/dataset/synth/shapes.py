"""What makes a fridge look like a fridge: the drawing function of each category, in the product's colour.

The style numbers of the family change proportions and details, so that two families of a category can be
told apart and the variants of one family cannot, except by colour and the number of burners.
"""

from __future__ import annotations

from collections.abc import Callable

from ameli_llm.dataset.synth import appliances, devices
from ameli_llm.dataset.synth.canvas import Canvas, Look


def shape(name: str) -> Callable[[Canvas, Look], None]:
    """The drawing function of a category's name, or of "carton" and "label"."""
    if name in ("carton", "label"):
        return carton if name == "carton" else label
    function: Callable[[Canvas, Look], None] = getattr(appliances, name, None) or getattr(devices, name)
    return function


def carton(c: Canvas, look: Look) -> None:
    """A plain shipping carton: says nothing about the product's colour."""
    c.rect(0.12, 0.22, 0.88, 0.84, (188, 150, 104), (140, 108, 70))
    c.rect(0.46, 0.22, 0.54, 0.84, (206, 176, 132))
    c.rect(0.18, 0.60, 0.44, 0.76, (240, 240, 236))
    c.prints(look, 0.31, 0.65, 0.24, (240, 240, 236))


def label(c: Canvas, look: Look) -> None:
    """The type plate close up: brand and model number in large print."""
    c.rect(0.06, 0.26, 0.94, 0.76, (226, 228, 228), (120, 120, 120), 0.03)
    c.text(0.5, 0.36, look.brand, 0.7, 0.09, (30, 30, 30))
    c.text(0.5, 0.50, f"MODEL {look.model}", 0.8, 0.11, (20, 20, 20))
    for number in range(26):
        c.line(
            [(0.2 + 0.024 * number, 0.60), (0.2 + 0.024 * number, 0.70)],
            (30, 30, 30),
            0.004 + 0.006 * (number * 7 % 3),
        )

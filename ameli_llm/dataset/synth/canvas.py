"""A drawing surface in unit coordinates: (0, 0) is the upper left corner, (1, 1) the lower right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from ameli_llm.dataset.synth.catalogue import RGB

PIXELS = 512
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def shade(colour: RGB, factor: float) -> RGB:
    """Darker below 1, lighter above: at 2 the colour is white."""
    if factor <= 1:
        red, green, blue = (round(c * factor) for c in colour)
    else:
        red, green, blue = (round(c + (255 - c) * (factor - 1)) for c in colour)
    return red, green, blue


def ink(colour: RGB) -> RGB:
    """Black or white, whichever reads better on the colour."""
    return (20, 20, 20) if sum(colour) > 360 else (245, 245, 245)


class Fonts:
    """Pillow's own truetype font by size in pixels, each size loaded once."""

    def __init__(self) -> None:
        self._sizes: dict[int, Font] = {}

    def __call__(self, size: int) -> Font:
        """The font whose letters are ``size`` pixels high."""
        if size not in self._sizes:
            self._sizes[size] = ImageFont.load_default(size)
        return self._sizes[size]


@dataclass(frozen=True)
class Look:
    """What a drawing depends on: the product's colour, its family's style numbers, counts, and prints.

    ``brand`` and ``model`` are empty where that print is not in view.
    """

    colour: RGB
    style: tuple[float, ...]
    burners: int = 4
    brand: str = ""
    model: str = ""

    @property
    def dark(self) -> RGB:
        """A darker tone of the colour, for edges and seams."""
        return shade(self.colour, 0.7)

    @property
    def light(self) -> RGB:
        """A lighter tone of the colour, for panels and highlights."""
        return shade(self.colour, 1.3)

    def between(self, number: int, low: float, high: float) -> float:
        """The family's style number ``number``, stretched to an interval."""
        return low + (high - low) * self.style[number]


class Canvas:
    """A square on which a product is drawn, opaque when it has a background and transparent otherwise."""

    def __init__(self, fonts: Fonts, background: RGB | None = None) -> None:
        if background:
            self.image = Image.new("RGB", (PIXELS, PIXELS), background)
        else:
            self.image = Image.new("RGBA", (PIXELS, PIXELS), (90, 90, 90, 0))
        self._draw = ImageDraw.Draw(self.image)
        self._fonts = fonts

    def rect(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: RGB,
        edge: RGB | None = None,
        round_: float = 0.0,
    ) -> None:
        """A rectangle with rounded corners."""
        self._draw.rounded_rectangle(self._box(x0, y0, x1, y1), round_ * PIXELS, fill, edge, 3 if edge else 0)

    def oval(
        self, x: float, y: float, rx: float, ry: float, fill: RGB | None, edge: RGB | None = None
    ) -> None:
        """An ellipse by its centre and radii."""
        box = self._box(x - rx, y - ry, x + rx, y + ry)
        self._draw.ellipse(box, fill, edge, 4 if edge else 0)

    def poly(self, points: Sequence[tuple[float, float]], fill: RGB, edge: RGB | None = None) -> None:
        """A polygon."""
        self._draw.polygon([(x * PIXELS, y * PIXELS) for x, y in points], fill, edge)

    def line(self, points: Sequence[tuple[float, float]], fill: RGB, width: float) -> None:
        """A broken line; ``width`` is a share of the canvas."""
        scaled = [(x * PIXELS, y * PIXELS) for x, y in points]
        self._draw.line(scaled, fill, round(width * PIXELS), "curve")

    def arc(
        self, x: float, y: float, rx: float, ry: float, start: float, end: float, fill: RGB, width: float
    ) -> None:
        """A part of an ellipse's outline, degrees clockwise from three o'clock."""
        self._draw.arc(self._box(x - rx, y - ry, x + rx, y + ry), start, end, fill, round(width * PIXELS))

    def text(self, x: float, y: float, text: str, width: float, height: float, fill: RGB) -> None:
        """A line of print centred at (x, y), as large as fits into width and height."""
        if not text:
            return
        size = round(height * PIXELS)
        while size > 8 and self._fonts(size).getlength(text) > width * PIXELS:
            size -= 2
        self._draw.text((x * PIXELS, y * PIXELS), text, fill, self._fonts(size), "mm")

    def prints(self, look: Look, x: float, y: float, width: float, on: RGB) -> None:
        """Brand and, below it, model number, in ink that reads on the colour ``on``."""
        self.text(x, y, look.brand, width, 0.062, ink(on))
        self.text(x, y + 0.07, look.model, width, 0.058, ink(on))

    @staticmethod
    def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        return x0 * PIXELS, y0 * PIXELS, x1 * PIXELS, y1 * PIXELS

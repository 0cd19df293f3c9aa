"""A training-free image descriptor of colour, layout and edges, for machines without CLIP weights.

It compares what pictures look like, not what they show. Each block is the square root of a histogram, so
that the dot product of two blocks is the Bhattacharyya coefficient of their histograms; the cosine of two
descriptors is the weighted mean of the blocks' coefficients, between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.errors import MissingPackageError
from retrieval.encoders._pictures import encode_pictures
from retrieval.encoders.encoder import Vectors, normalised

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SIDE = 160
"""Longest side in pixels that an image is reduced to."""

NEUTRAL = 25.0
CHROMA_LIMIT = 90.0
TINT_LIMIT, TINT_BINS = 4.0, 16
EDGE_SIDE, EDGE_CELL, DIRECTIONS = 64, 16, 9
GRID = 2
BACKGROUND_DISTANCE = 20 / 255
SMALLEST_OBJECT = 0.02


@dataclass(frozen=True)
class Palette:
    """A smoothed CIELAB histogram of the bins that sRGB reaches; finer near grey, where most goods are."""

    bins: tuple[int, int, int]

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self._reachable)

    def histogram(self, lab: Pixels) -> Pixels:
        """Smoothed counts of the colours [n, 3] in the reachable bins."""
        from scipy.ndimage import gaussian_filter

        counts = gaussian_filter(self._counts(lab), 0.5, mode="constant")
        found: Pixels = counts.ravel()[self._reachable]
        return found

    def _counts(self, lab: Pixels) -> Pixels:
        limit = float(np.arcsinh(CHROMA_LIMIT / NEUTRAL))
        chroma = np.arcsinh(lab[:, 1:] / NEUTRAL).clip(-limit, limit)
        scaled = np.column_stack([lab[:, 0].clip(0, 100), chroma])
        ranges = ((0.0, 100.0), (-limit, limit), (-limit, limit))
        return np.histogramdd(scaled, bins=self.bins, range=ranges)[0]

    @cached_property
    def _reachable(self) -> npt.NDArray[np.int64]:
        from skimage.color import rgb2lab

        steps = np.linspace(0, 1, 33)
        cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
        return np.flatnonzero(self._counts(rgb2lab(cube)[0]).ravel())


class Descriptor:
    """Histograms of the pixels that are not background.

    colour: CIELAB of the object; layout: coarser, in each cell of a grid over it; tint: chromaticity, which
    a brighter or darker light leaves alone; edges: gradient directions over a grid.
    """

    name = "descriptor"
    model = ""
    revision = "2"

    def __init__(self) -> None:
        self._fine = Palette((8, 12, 12))
        self._coarse = Palette((4, 6, 6))
        self._weights = {"colour": 0.35, "layout": 0.25, "tint": 0.25, "edges": 0.15}
        edges = (EDGE_SIDE // EDGE_CELL) ** 2 * DIRECTIONS
        self.dimension = self._fine.size + GRID**2 * self._coarse.size + TINT_BINS**2 + edges

    def encode_images(self, paths: Sequence[Path]) -> list[Vectors | ImageProblem]:
        """One vector or the reason why there is none per path."""
        return encode_pictures(self, paths)

    def encode_picture(self, picture: Image) -> Vectors:
        """The descriptor of an RGB picture, float32 [dimension] of length 1."""
        from skimage.color import rgb2gray, rgb2lab

        image = picture.copy()
        image.thumbnail((SIDE, SIDE))
        pixels = np.asarray(image, dtype=np.float64) / 255
        mask = foreground(pixels)
        box = _bounds(mask)
        lab = rgb2lab(pixels)
        blocks = {
            "colour": self._fine.histogram(lab[mask]),
            "layout": self._layout(lab[box], mask[box]),
            "tint": _tint(pixels[mask]),
            "edges": _edges(rgb2gray(pixels[box])),
        }
        return normalised(
            np.concatenate([np.sqrt(self._weights[name]) * _root(block) for name, block in blocks.items()])
        )

    def _layout(self, lab: Pixels, mask: Mask) -> Pixels:
        cells = []
        for rows in np.array_split(np.arange(mask.shape[0]), GRID):
            for columns in np.array_split(np.arange(mask.shape[1]), GRID):
                cell = np.ix_(rows, columns)
                cells.append(self._coarse.histogram(lab[cell][mask[cell]]))
        return np.concatenate(cells)


def full_name(model: str) -> str:
    """Always "": there are no weights to choose."""
    return ""


def create(model: str = "") -> Descriptor:
    """The descriptor; it has no models, ``model`` is ignored. Raises MissingDependencyError."""
    try:
        import skimage  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("scikit-image", "retrieval") from error
    return Descriptor()


def foreground(pixels: Pixels) -> Mask:
    """Pixels that differ from the median colour of the border; all of them when almost none do."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    distance = np.abs(pixels - np.median(border, axis=0)).max(axis=2)
    mask: Mask = distance > BACKGROUND_DISTANCE
    return mask if mask.mean() >= SMALLEST_OBJECT else np.ones_like(mask)


def _bounds(mask: Mask) -> tuple[slice, slice]:
    """Rows and columns of the smallest box around the mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _tint(colours: Pixels) -> Pixels:
    """Smoothed histogram of log ratios of linear light: red to green, and both to blue."""
    from scipy.ndimage import gaussian_filter

    red, green, blue = np.log(colours**2.2 + 0.004).T
    ratios = np.arcsinh(np.column_stack([red - green, (red + green) / 2 - blue]) * 2)
    limit = float(np.arcsinh(TINT_LIMIT * 2))
    counts = np.histogramdd(
        ratios.clip(-limit, limit), bins=(TINT_BINS, TINT_BINS), range=((-limit, limit), (-limit, limit))
    )[0]
    smoothed: Pixels = gaussian_filter(counts, 0.7, mode="constant").ravel()
    return smoothed


def _edges(gray: Pixels) -> Pixels:
    """Histograms of gradient direction over a grid of cells, the image made square."""
    from skimage.feature import hog
    from skimage.transform import resize

    side = (EDGE_SIDE, EDGE_SIDE)
    square: Any = resize(gray, side, anti_aliasing=True)  # type: ignore[no-untyped-call]
    found: Any = hog(
        square, orientations=DIRECTIONS, pixels_per_cell=(EDGE_CELL, EDGE_CELL), cells_per_block=(1, 1)
    )
    return np.asarray(found)


def _root(histogram: Pixels) -> Pixels:
    """Square root of the histogram's shares; zeros for an empty one."""
    total = histogram.sum()
    return np.sqrt(histogram / total) if total > 0 else histogram

"""Cropper "edges": the part of a photo with the strongest edges. It reads no words and knows no objects.

For machines without the weights of a detector. It takes away empty walls, table tops and sky; it cannot tell
the product from whatever else is in sharp detail.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
from PIL.Image import Image

from ameli_llm.dataset.construction.croppers.cropper import Box
from ameli_llm.errors import AmeliError, MissingPackageError

SIDE = 256
"""Longest side in pixels that a photo is reduced to."""
BLUR = 3.0
"""Pixels over which edges become regions."""
THRESHOLD = 0.6
"""Of Otsu's threshold of the smoothed gradient: what is above belongs to a region."""
BESIDE = 0.2
"""Regions of at least this share of the largest one's area count too."""
SMALLEST = 0.02
"""Least share of the photo that the box has to have."""


class EdgeCropper:
    """The box around the largest regions of strong edges."""

    name = "edges"

    def box(self, image: Image, prompt: str) -> Box | None:
        """The box; None for a photo without contrast, or with specks only."""
        filters, measure = import_module("skimage.filters"), import_module("skimage.measure")

        small = image.convert("L")
        small.thumbnail((SIDE, SIDE))
        strength = filters.gaussian(filters.sobel(np.asarray(small, dtype=np.float64) / 255), BLUR)
        if strength.max() - strength.min() < 1e-6:
            return None
        strong = strength > THRESHOLD * filters.threshold_otsu(strength)
        regions = measure.regionprops(measure.label(strong))
        largest = max((region.area for region in regions), default=0)
        boxes = np.array([region.bbox for region in regions if region.area >= BESIDE * largest])
        if not len(boxes):
            return None
        (top, left), (bottom, right) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        if (bottom - top) * (right - left) < SMALLEST * strength.size:
            return None
        across, down = image.width / small.width, image.height / small.height
        return float(left * across), float(top * down), float(right * across), float(bottom * down)


def create(model: str = "") -> EdgeCropper:
    """The cropper. Raises AmeliError when a model is named, MissingPackageError without scikit-image."""
    if model:
        raise AmeliError(f"The cropper edges has no model, found {model!r}.", hint="Write: edges")
    try:
        import skimage  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("scikit-image", "retrieval") from error
    return EdgeCropper()

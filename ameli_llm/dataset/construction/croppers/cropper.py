"""What every cropper takes and gives: a photo and words in, the box of the object out."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

from PIL.Image import Image

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@runtime_checkable
class Cropper(Protocol):
    """Finds one object in a photo."""

    @property
    def name(self) -> str:
        """What found the boxes, with its model."""

    def box(self, image: Image, prompt: str) -> Box | None:
        """The box, within an RGB image, of the object that the words name; None where it is not found."""

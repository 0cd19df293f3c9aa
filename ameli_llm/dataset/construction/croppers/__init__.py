"""Finds the reviewed object in a photo. One file of this package is one cropper."""

from __future__ import annotations

from ameli_llm.dataset.construction.croppers.cropper import Cropper
from ameli_llm.errors import AmeliError
from ameli_llm.registry import Registry

CROPPERS = Registry("cropper", "ameli_llm.dataset.construction.croppers", helpers=("cropper",))

OFF = "none"


def open_cropper(name: str) -> Cropper | None:
    """The cropper NAME or NAME:MODEL, None for "none".

    Raises AmeliError when the name is unknown, or the package or the weights are missing.
    """
    if name == OFF:
        return None
    kind, _, model = name.partition(":")
    cropper = CROPPERS.load(kind)(model)
    if not isinstance(cropper, Cropper):
        raise AmeliError(f"The cropper {kind!r} finds no boxes.")
    return cropper

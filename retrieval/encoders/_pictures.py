"""Pictures for encoders: each decoded once for all of them, as many at a time as there are threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.machine import threads
from retrieval.encoders.encoder import ImageEncoder, PictureEncoder, Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

Encoded: TypeAlias = list[Vectors | ImageProblem]

SHORTER = 520
"""Pixels that the shorter side of a decoded picture keeps, if it has them: twice what any encoder reduces it
to. One size for all, so that a vector does not depend on which encoders share the picture."""


def open_picture(path: Path) -> Image:
    """The RGB picture in a file, a large JPEG at a fraction of its size. Raises ImageProblem."""
    return open_image(path, SHORTER)


def encode_pictures(encoder: PictureEncoder, paths: Sequence[Path]) -> Encoded:
    """One vector or the reason why there is none per path; pictures in memory are as many as threads."""
    return encode_together([encoder], paths)[encoder.name]


def encode_together(encoders: Sequence[ImageEncoder], paths: Sequence[Path]) -> dict[str, Encoded]:
    """By the name of each encoder, what its ``encode_images`` gives; decoded once where they take pictures.

    Decoding one picture and encoding another overlap: both let other threads run.
    """
    sharing = [encoder for encoder in encoders if isinstance(encoder, PictureEncoder)]
    rows = _rows(sharing, paths if sharing else ())
    found = {encoder.name: [row[at] for row in rows] for at, encoder in enumerate(sharing)}
    for encoder in encoders:
        if encoder.name not in found:
            found[encoder.name] = encoder.encode_images(paths)
    return found


def _rows(encoders: Sequence[PictureEncoder], paths: Sequence[Path]) -> list[Encoded]:
    """What each encoder makes of a picture, a row for each picture."""
    encode = partial(_encode, encoders)
    if len(paths) < 2:
        return list(map(encode, paths))
    with ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(encode, paths))


def _encode(encoders: Sequence[PictureEncoder], path: Path) -> Encoded:
    try:
        picture = open_picture(path)
    except ImageProblem as problem:
        return [problem] * len(encoders)
    return [encoder.encode_picture(picture) for encoder in encoders]

"""What every encoder gives: L2-normalised float32 vectors, so that a dot product is a cosine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.images import ImageProblem

if TYPE_CHECKING:
    from PIL.Image import Image

Vectors: TypeAlias = npt.NDArray[np.float32]


class Encoder(Protocol):
    """What an index stores about the encoder that made its vectors."""

    @property
    def name(self) -> str:
        """The file name of the module."""

    @property
    def model(self) -> str:
        """Model name, package or folder name; the same words that the configuration uses."""

    @property
    def revision(self) -> str:
        """Identifies the weights: equal revisions give equal vectors."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """Turns texts into vectors."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, dimension], L2-normalised, in the order of ``texts``; an empty text has one too."""


@runtime_checkable
class ImageEncoder(Encoder, Protocol):
    """Turns image files into vectors."""

    def encode_images(self, paths: Sequence[Path]) -> list[Vectors | ImageProblem]:
        """One vector [dimension], L2-normalised, or the reason why there is none, per path."""


@runtime_checkable
class PictureEncoder(ImageEncoder, Protocol):
    """An image encoder that takes pictures one by one, so that several can share what is decoded."""

    def encode_picture(self, picture: Image) -> Vectors:
        """[dimension], L2-normalised, of an RGB picture as ``open_picture`` gives it. For several threads."""


def normalised(vectors: npt.NDArray[Any]) -> Vectors:
    """Rows scaled to length 1 as float32; a row of zeros stays zero. Shape [n, d] or [d]."""
    rows = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    result: Vectors = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return result


def weights_revision(folder: Path) -> str:
    """The first 16 hex digits of a SHA-256 over the model's configuration, vocabulary and weight files."""
    digest = hashlib.sha256()
    wanted = (".safetensors", ".json", ".txt", ".model")
    for path in sorted(p for p in folder.rglob("*") if p.suffix in wanted and p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]

"""What an index says about itself: what it was made from, by which encoders, and how to tell it is whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from ameli_llm.errors import AmeliError
from retrieval.encoders.encoder import Encoder

FORMAT = 2


class IndexDamagedError(AmeliError):
    """The files of an index are missing, cut off or not what its manifest says; a rebuild mends it."""


class EncoderStamp(BaseModel):
    """Which encoder made a set of vectors. Equal stamps give equal vectors for equal input."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    model: str
    revision: str
    dimension: int

    @classmethod
    def of(cls, encoder: Encoder) -> EncoderStamp:
        """The stamp of ``encoder``."""
        return cls(
            name=encoder.name, model=encoder.model, revision=encoder.revision, dimension=encoder.dimension
        )

    def __str__(self) -> str:
        return f"{self.name} {self.model}".strip() + f" (revision {self.revision})"


class Manifest(BaseModel):
    """The file manifest.json of an index.

    ``dataset_digest`` is the digest of the dataset it was built from, "" after an upsert or delete.
    ``kb_version`` is the hash of every product's id and content: the version of the knowledge base that
    results are stamped with. ``checksums`` maps each exported file to its SHA-256; ``vectors`` is the hash
    of ids and vectors in the order of the index.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    dataset_digest: str
    kb_version: str
    text: EncoderStamp
    image: EncoderStamp | None
    products: int
    images: int
    unusable_images: int
    vectors: str
    checksums: dict[str, str]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Writes the manifest as indented JSON."""
    path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """The manifest in ``path``. Raises IndexDamagedError when it is missing, no JSON or of another format."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("format") != FORMAT:
            raise IndexDamagedError(f"Index format {content.get('format')!r}, expected {FORMAT}.")
        return Manifest.model_validate(content)
    except (OSError, ValueError, ValidationError) as error:
        raise IndexDamagedError(f"{path.name} cannot be read: {type(error).__name__}.") from error


def file_checksum(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def vectors_checksum(*arrays: npt.NDArray[Any]) -> str:
    """SHA-256 over shape, type and bytes of the arrays, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()

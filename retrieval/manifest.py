"""What an index says about itself: what it was made from, and by which encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import AmeliError
from retrieval import encoders
from retrieval.encoders.encoder import Encoder

FORMAT = 3
REBUILD = "Type: ameli-llm index DATASET"


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
    results are stamped with.
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
    except (OSError, ValueError, ValidationError, RecursionError) as error:
        raise IndexDamagedError(f"{path.name} cannot be read: {type(error).__name__}.") from error


def require_encoders(folder: Path, manifest: Manifest, config: RetrievalConfig) -> None:
    """Raises AmeliError unless the vectors in ``folder`` are of the encoders that ``config`` names."""
    pairs = (
        ("text", manifest.text, config.text_encoder, config.text_model),
        ("image", manifest.image, config.image_encoder, config.image_model),
    )
    for kind, stamp, name, model in pairs:
        asked = name if name == encoders.NONE else f"{name} {encoders.full_name(name, model)}".strip()
        found = encoders.NONE if stamp is None else f"{stamp.name} {stamp.model}".strip()
        if asked != found:
            raise AmeliError(
                f"The index in {folder} has {kind} vectors of {found!r}, the configuration asks for "
                f"{asked!r}.",
                hint="Type: ameli-llm index DATASET --config FILE to replace it; --out names another folder.",
            )


def require_same(folder: Path, kind: str, stamp: EncoderStamp, encoder: Encoder) -> None:
    """Raises AmeliError unless ``encoder``, weights included, is the one of the vectors in ``folder``."""
    found = EncoderStamp.of(encoder)
    if stamp != found:
        raise AmeliError(
            f"The index in {folder} has {kind} vectors of {stamp}, but the encoder at hand is {found}.",
            hint=REBUILD,
        )

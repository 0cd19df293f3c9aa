"""What an index says about itself: what it was made from, and by which encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.image_encoders import NONE, name_and_model
from retrieval import encoders
from retrieval.encoders.encoder import Encoder

FORMAT = 4
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
    image_encoders: tuple[EncoderStamp, ...]
    products: int
    images: int
    unusable_images: int

    def image(self, name: str = "") -> EncoderStamp | None:
        """The image encoder of that name, "" for the first; None where the index has no vectors of it."""
        return next((stamp for stamp in self.image_encoders if name in ("", stamp.name)), None)


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
    text = _named(config.text_encoder, config.text_model)
    images = [_named(*name_and_model(entry)) for entry in config.image_encoders]
    found = [f"{stamp.name} {stamp.model}".strip() for stamp in manifest.image_encoders]
    for kind, asked, held in (
        ("text", text, f"{manifest.text.name} {manifest.text.model}".strip()),
        ("image", ", ".join(images) or NONE, ", ".join(found) or NONE),
    ):
        if asked != held:
            raise AmeliError(
                f"The index in {folder} has {kind} vectors of {held!r}, the configuration asks for "
                f"{asked!r}.",
                hint="Type: ameli-llm index DATASET --config FILE to replace it; --out names another folder.",
            )


def _named(name: str, model: str) -> str:
    return f"{name} {encoders.full_name(name, model)}".strip()


def require_image_encoder(manifest: Manifest, name: str = "") -> EncoderStamp:
    """The image encoder of that name, "" for the first. Raises AmeliError where the index is without it."""
    stamp = manifest.image(name)
    if stamp is not None:
        return stamp
    held = [stamp.name for stamp in manifest.image_encoders]
    if held:
        raise UnknownNameError("image encoder in the index", name, held)
    raise AmeliError(
        "The index has no image vectors.", hint="Set retrieval.image_encoders, for instance to [descriptor]."
    )


def require_same(folder: Path, kind: str, stamp: EncoderStamp, encoder: Encoder) -> None:
    """Raises AmeliError unless ``encoder``, weights included, is the one of the vectors in ``folder``."""
    found = EncoderStamp.of(encoder)
    if stamp != found:
        raise AmeliError(
            f"The index in {folder} has {kind} vectors of {stamp}, but the encoder at hand is {found}.",
            hint=REBUILD,
        )

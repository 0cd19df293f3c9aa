"""One state of a knowledge base on a Chroma server: its name there, and what a reader holds it to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from ameli_llm.address import normalised, problem_of
from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import AmeliError
from ameli_llm.files import write_text
from ameli_llm.ids import id_order
from retrieval.encoders.encoder import Vectors
from retrieval.manifest import EncoderStamp, IndexDamagedError
from retrieval.snapshot import Entry, Snapshot
from retrieval.store import TEXT, image_collection

FORMAT = 1
SHARED = "server.json"
Hex16 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class State(BaseModel):
    """The marker of a state whose vectors are all on the server.

    ``key`` is of products and encoders (``key_of``), ``write`` names the collections, ``sums`` are SHA-256 of
    the vectors by collection, and ``ef_search`` is how far HNSW looks, which is fixed when it is made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Hex32
    write: Hex16
    kb_version: Hex64
    products: int = Field(ge=1)
    images: int = Field(ge=0)
    ef_search: int = Field(ge=1)
    sums: dict[str, Hex64]

    @property
    def prefix(self) -> str:
        """What the names of its collections begin with."""
        return f"{marker_name(self.key)}-{self.write}-"


class Shared(BaseModel):
    """The file server.json of a generation: where the vectors of its exports are shared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    state: State

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if problem := problem_of(value):
            raise ValueError(problem)
        return normalised(value)


def marker_name(key: str) -> str:
    """The collection that says that a state is whole."""
    return f"ameli-{key}"


def key_of(entries: Iterable[Entry], text: EncoderStamp, images: tuple[EncoderStamp, ...]) -> str:
    """The key of a state, known before anything is embedded: what is embedded, and by which encoders.

    Why an image is unusable follows from both and is no part of it.
    """
    rows = [
        [
            *(entry.id, entry.name, entry.category, entry.text),
            [(image.name, image.digest) for image in entry.images] if images else [],
        ]
        for entry in sorted(entries, key=lambda entry: id_order(entry.id))
    ]
    stamps = [text.model_dump(), [stamp.model_dump() for stamp in images]]
    return hashlib.sha256(json.dumps([FORMAT, stamps, rows]).encode()).hexdigest()[:32]


def vector_sums(snapshot: Snapshot) -> dict[str, str]:
    """SHA-256 of the vectors of each collection, row by row in index order."""
    images = {image_collection(encoder): vectors for encoder, vectors in snapshot.images.items()}
    return {name: _sum(vectors) for name, vectors in {TEXT: snapshot.text, **images}.items()}


def _sum(vectors: Vectors) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors, dtype="<f4").data).hexdigest()


def write_shared(place: Path, shared: Shared) -> None:
    """Notes where the vectors of the generation ``place`` are shared, in one step."""
    write_text(place / SHARED, shared.model_dump_json(indent=2) + "\n")


def read_shared(place: Path) -> Shared | None:
    """Where the vectors of ``place`` are shared, None where they are not. Raises IndexDamagedError."""
    try:
        return Shared.model_validate_json((place / SHARED).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise IndexDamagedError(f"{SHARED} cannot be read: {type(error).__name__}.") from error


def require_store(folder: Path, shared: Shared | None, config: RetrievalConfig) -> None:
    """Raises AmeliError unless the vectors of the index in ``folder`` are kept where ``config`` says."""
    held = shared.url if shared else ""
    asked = normalised(config.chroma_url) if config.store == "chroma-server" else ""
    if asked != held:
        raise AmeliError(
            f"The index in {folder} is kept {_where(held)}, the configuration asks for one {_where(asked)}.",
            hint="Type: ameli-llm index DATASET --config FILE; nothing is embedded anew. --out names another "
            "folder.",
        )


def _where(url: str) -> str:
    return f"on the Chroma server {url}" if url else "in its own folder"

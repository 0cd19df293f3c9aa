"""The folder of a trained extractor: what it was trained on and how, beside its weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ameli_llm.attributes.tagging.examples import LabelledText
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error, make_folder, write_json

DESCRIPTION = "tagger.json"
WEIGHTS = "weights.safetensors"
CHECKPOINTS = "checkpoints"
FEATURES = "features"
MAX_BYTES = 64 << 20


class EpochRow(BaseModel):
    """An epoch: the mean loss during it, none before the first, and TAG-F1 on dev after it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    loss: float | None
    score: float | None


class Description(BaseModel):
    """``tagger.json``. ``labels`` are the attributes in the order of the tags; ``weights`` is a SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    title: str
    settings: dict[str, Any]
    labels: tuple[str, ...] = Field(min_length=1)
    encoder: str
    encoder_revision: str
    image_encoder: str = ""
    image_revision: str = ""
    made_of: dict[str, Any]
    counts: dict[str, int] = Field(description="texts, and what was cut or could not be used")
    best: int
    history: tuple[EpochRow, ...]
    weights: str = Field(pattern="^[0-9a-f]{64}$")

    @property
    def best_score(self) -> float | None:
        """TAG-F1 on dev of the epoch that was kept."""
        return next(row.score for row in self.history if row.number == self.best)


def made_of(
    kind: Kind,
    settings: BaseModel,
    texts: Mapping[str, Sequence[LabelledText]],
    labels: Sequence[str],
    revisions: Mapping[str, str],
    seed: int,
) -> dict[str, Any]:
    """Everything that decides the weights, in JSON types; encoders count by their revisions.

    Pictures count by their names and sizes.
    """
    content = settings.model_dump(mode="json", exclude={"encoder", "image_encoder", "micro_batch"})
    return {
        "kind": kind.name,
        "settings": content,
        "seed": seed,
        "encoders": dict(revisions),
        "labels": hashlib.sha256(json.dumps(list(labels)).encode()).hexdigest()[:16],
        "texts": {name: digest(several) for name, several in texts.items()},
    }


def digest(texts: Sequence[LabelledText]) -> str:
    """The first 16 hex digits of a SHA-256 over texts, spans, and names and sizes of pictures."""
    found = hashlib.sha256()
    for text in texts:
        image = [text.image.name, text.image.stat().st_size] if text.image and text.image.exists() else None
        spans = [(span.start, span.end, span.attribute) for span in text.spans]
        found.update(json.dumps([text.text, spans, image]).encode())
    return found.hexdigest()[:16]


def identity(parts: Mapping[str, Any]) -> str:
    """A hash of ``made_of``: the checkpoint of another training is not taken up."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def read(folder: Path, kind: Kind) -> Description:
    """The description of a finished training.

    Raises AmeliError when there is none, it is damaged, or it is of another kind of extractor.
    """
    path = folder / DESCRIPTION
    hint = f"Train one: {kind.command}"
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise AmeliError(f"{path} has more than {MAX_BYTES} bytes.", hint=hint)
        found = Description.model_validate_json(content)
    except OSError as error:
        raise AmeliError(
            f"No trained {kind.name} in {folder}: {DESCRIPTION}: {error.strerror}.", hint=hint
        ) from error
    except ValidationError as error:
        raise AmeliError(f"{path}: {first_error(error)}.", hint=hint) from error
    if found.kind != kind.name:
        raise AmeliError(f"{folder} holds a trained {found.kind}, not {kind.name}.", hint=hint)
    return found


def write(folder: Path, weights: bytes, description: Mapping[str, Any]) -> Description:
    """Writes the weights, then their description: where that lies, both are whole. Raises AmeliError."""
    make_folder(folder)
    path = folder / WEIGHTS
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(weights)
        os.replace(partial, path)
    except OSError as error:
        raise AmeliError(f"Cannot write {path}: {error.strerror}.") from error
    checked = Description.model_validate({**description, "weights": hashlib.sha256(weights).hexdigest()})
    write_json(folder / DESCRIPTION, checked.model_dump(mode="json"))
    return checked


def read_weights(folder: Path, found: Description, hint: str) -> bytes:
    """The bytes of the weights. Raises AmeliError when they are not those that the training wrote."""
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.", hint=hint) from error
    if hashlib.sha256(content).hexdigest() != found.weights:
        raise AmeliError(f"The weights in {path} are not those that the training wrote.", hint=hint)
    return content

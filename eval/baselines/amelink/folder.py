"""The folder of a trained AMELINK: its description, and whether its weights fit what is at hand."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error
from eval.baselines import _folder
from eval.baselines.amelink.settings import AmelinkSettings
from eval.baselines.baseline import Example, Task
from eval.baselines.material import Material

NAME = "amelink"
DESCRIPTION = "amelink.json"
IMAGE = "image"
CHECKPOINTS = "checkpoints"
FEATURES = "features"


class EpochRow(BaseModel):
    """An epoch: mean loss during it (none before the first), F1 on dev of the text score after it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    loss: float | None
    dev_f1: float | None


class TextRow(BaseModel):
    """A trained text model; ``best`` is the epoch that was kept, ``weights`` the digest of its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: str
    best: int
    history: tuple[EpochRow, ...]
    lists: int = Field(description="reviews that it learned from")
    weights: str


class VariantRow(BaseModel):
    """How a variant sums: weights, by what each score is divided before, lambda for undivided scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: dict[str, float]
    sizes: dict[str, float]
    coefficient: float | None
    dev_f1: float


class Description(BaseModel):
    """``amelink.json``. ``no_image`` says why there is no image part, "" where there is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_of: dict[str, Any]
    settings: AmelinkSettings
    encoder: str
    encoder_revision: str
    dimension: int
    dev_lists: int = Field(description="dev reviews whose gold product is among the candidates")
    dev_reviews: int
    texts: dict[str, TextRow] = Field(default_factory=dict)
    no_image: str = ""
    image_title: str = ""
    variants: dict[str, VariantRow] = Field(default_factory=dict)


def made_of(
    material: Material,
    train: Sequence[Example],
    dev: Sequence[Example],
    settings: AmelinkSettings,
    revision: str,
    seed: int,
) -> dict[str, Any]:
    """Everything that decides the weights, in JSON types. The encoder counts by its revision."""
    content = settings.model_dump(mode="json", exclude={"encoder", "micro_batch"})
    return {
        "settings": content,
        "seed": seed,
        "encoder": revision,
        "image_encoder": material.image_encoder,
        "products": material.dataset.digest,
        "train": examples_digest(train),
        "dev": examples_digest(dev),
    }


def examples_digest(examples: Sequence[Example]) -> str:
    """The first 16 hex digits of a SHA-256 over reviews, candidates, extracted values and gold."""
    return _digest([*_content(one.task), one.gold] for one in examples)


def tasks_digest(tasks: Sequence[Task]) -> str:
    """As ``examples_digest``, without gold."""
    return _digest(_content(task) for task in tasks)


def _content(task: Task) -> list[Any]:
    candidates = [(c.entity_id, c.score, sorted(c.scores.items())) for c in task.candidates]
    return [asdict(task.review), candidates, [asdict(value) for value in task.extracted]]


def _digest(rows: Iterable[list[Any]]) -> str:
    found = hashlib.sha256()
    for row in rows:
        found.update(json.dumps(row, sort_keys=True).encode())
    return found.hexdigest()[:16]


def read(folder: Path | None) -> Description:
    """The description of a finished training. Raises AmeliError when there is none, or it is damaged."""
    path = _folder.require_folder(NAME, folder) / DESCRIPTION
    try:
        return Description.model_validate_json(path.read_bytes())
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.", hint=_folder.how_to_train(NAME)) from error
    except ValidationError as error:
        raise AmeliError(f"{path}: {first_error(error)}.") from error


def write(path: Path, content: bytes) -> None:
    """Writes beside the file and renames. Raises AmeliError when it cannot be written."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise AmeliError(f"Cannot write {path}: {error.strerror}.") from error


def weights_file(folder: Path, model: str) -> Path:
    """The weights of a text model."""
    return folder / "text" / f"{model}.safetensors"


def identity(parts: Mapping[str, Any], model: str) -> str:
    """A hash of what decides the weights of one text model."""
    return hashlib.sha256(json.dumps([parts, model], sort_keys=True).encode()).hexdigest()[:16]


def digest(content: bytes) -> str:
    """The first 16 hex digits of a SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]

"""The folder of a fine-tuned text encoder: how it was trained and on what, beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ameli_llm.errors import AmeliError
from ameli_llm.nested import flat
from retrieval.manifest import EncoderStamp

DESCRIPTION = "training.json"
SCORED = 10
"""Early stopping looks at Recall@1 and at recall at this cutoff, in equal parts."""


@dataclass(frozen=True)
class FineTuning:
    """How a text encoder is fine-tuned; the official code's values in brackets.

    ``epochs`` [10], ``batch_size`` [35], ``learning_rate`` [1e-5], ``warm_up``: share of the steps in which
    it rises, before it falls to 0 [1000 steps, 0.26 of those of AMELI's train split], ``weight_decay``
    [1e-3], ``window``: texts are cut at so many tokens [512], 0 is the model's own window. ``hard`` [10]: the
    hard negative is one of so many best retrieved products. ``patience`` is how many epochs without a better
    score on dev are waited for.
    """

    epochs: int = 3
    batch_size: int = 35
    learning_rate: float = 2e-5
    warm_up: float = 0.1
    weight_decay: float = 1e-3
    window: int = 0
    hard: int = 10
    patience: int = 2


@dataclass(frozen=True)
class Identity:
    """What decides the weights: the encoder that is fine-tuned, settings, seed, and digests of the data."""

    encoder: EncoderStamp
    settings: FineTuning
    seed: int
    source: Mapping[str, Any]

    def content(self) -> dict[str, Any]:
        """In JSON types; a folder's name decides nothing, so the encoder counts by its revision."""
        return {
            "revision": self.encoder.revision,
            "settings": asdict(self.settings),
            "seed": self.seed,
            "source": dict(self.source),
        }


class Epoch(BaseModel):
    """Mean loss during an epoch and ``recall`` on dev after it. Epoch 0 is untrained and has no loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    loss: float | None
    score: float


class Description(BaseModel):
    """``training.json``, beside the weights: what was trained, on what, and how it went."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    revision: str
    settings: dict[str, Any]
    seed: int
    source: dict[str, Any]
    best: int
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model; not ``fresh`` when it was there before."""

    description: Description
    fresh: bool

    def summary(self) -> str:
        """One line: data, epochs, and recall on dev before and after."""
        about, history = self.description, self.description.history
        best = next(epoch for epoch in history if epoch.number == about.best)
        source = about.source
        kept = f"epoch {about.best}" if about.best else "none, as it was not better on dev,"
        return (
            f"{about.model} on {source['reviews']} reviews of {source['split']}, {kept} of "
            f"{history[-1].number} epochs: mean of R@1 and R@{SCORED} {100 * history[0].score:.2f} -> "
            f"{100 * best.score:.2f} on {source['dev_reviews']} reviews of {source['dev']}"
        )


def is_fine_tuned(model: str) -> bool:
    """Whether the text model of that name is a folder that ``fine_tune`` made."""
    return bool(model) and (Path(model) / DESCRIPTION).is_file()


def finished(out: Path, identity: Identity) -> FineTuned | None:
    """The model in ``out``, None when there is none yet.

    Raises AmeliError when it was trained on something else or otherwise, or when its description is damaged.
    """
    path = out / DESCRIPTION
    if not path.is_file():
        return None
    try:
        found = Description.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise AmeliError(f"{path} cannot be read.", hint="Delete the folder to train again.") from error
    asked, made = flat(identity.content()), flat(found.model_dump())
    other = sorted(key for key in asked if made.get(key) != asked[key])
    if other:
        raise AmeliError(
            f"{out} holds a model that was trained otherwise: {', '.join(other)}.",
            hint="Name another --out, or delete it.",
        )
    return FineTuned(found, fresh=False)

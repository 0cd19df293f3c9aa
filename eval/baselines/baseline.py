"""What every baseline takes and gives: reviews with their candidates in, a score for every candidate out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.ids import EntityId
from ameli_llm.types import AttributeValue, Candidate, Progress, Review

Floats: TypeAlias = npt.NDArray[np.float32]
Preset: TypeAlias = Literal["paper", "official"]


@dataclass(frozen=True, slots=True)
class Task:
    """A review and its K candidates as retrieval ranked them; gold is among them only where it was found.

    ``extracted`` are the attribute values that the review states: the paper's system attributes.
    """

    review: Review
    candidates: tuple[Candidate, ...]
    extracted: tuple[AttributeValue, ...] = ()

    @property
    def entity_ids(self) -> list[EntityId]:
        """The candidates' product ids, in their order."""
        return [candidate.entity_id for candidate in self.candidates]


@dataclass(frozen=True, slots=True)
class Example:
    """A task with its gold product, for training and for choices on dev. Gold may be no candidate."""

    task: Task
    gold: EntityId


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of a task's candidates, [K] each, in their order; greater is better.

    NaN is no opinion. ``total`` ranks; ``text`` and ``image`` are parts of it, None where there is no such
    part.
    """

    total: Floats
    text: Floats | None = None
    image: Floats | None = None


class Baseline(Protocol):
    """Scores candidates. Equal scores are no preference: whoever ranks breaks them by chance."""

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """Scores for each task, in order. A task without candidates has empty ones."""

    def describe(self) -> Mapping[str, Any]:
        """What the scores were made with, in JSON types: settings, encoders, digests of weights."""

    def title(self, name: str) -> str:
        """How readers see its row: ``name``, with the encoders that it was really run with."""


class Settings(Protocol):
    """How a trained baseline is trained."""

    @property
    def needs_candidates(self) -> bool:
        """Whether training looks at the candidates of its reviews."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of Table 5 that a baseline makes, by its key on the command line.

    Where the paper has the row, its key in ``eval/expected/table5.yaml`` is the same with underscores, and
    name, modality and attribute are those that stand there; here they are for rows that the paper lacks.
    ``needs_images``: without product images, and an encoder of them, the row has nothing to say.
    """

    key: str
    variant: str = ""
    needs_images: bool = False
    name: str = ""
    modality: str = "-"
    attribute: bool = False

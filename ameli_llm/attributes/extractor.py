"""What every attribute extractor takes and gives. One file of this package is one extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ameli_llm.engines.engine import Exchange
from ameli_llm.types import AttributeValue, Failure, Review, Usage, Vocabulary


@dataclass(frozen=True, slots=True)
class ExtractionTask:
    """A review and the closed vocabulary of its candidates: only these keys and values may be found."""

    review: Review
    vocabulary: Vocabulary


@dataclass(frozen=True, slots=True)
class Extraction:
    """Values found in one review. ``dropped`` counts discarded proposals by reason ("no_span", ...).

    ``exchanges`` are the requests that were made for it, each with its reply.
    """

    values: tuple[AttributeValue, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    usage: Usage = Usage()
    failure: Failure | None = None
    exchanges: tuple[Exchange, ...] = ()


class Extractor(Protocol):
    """Finds attribute values of the reviewed product in the review's text or images."""

    @property
    def name(self) -> str:
        """The file name of the module; the ``source`` of every value it gives."""

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        """One extraction per task, in the order of the tasks. Never raises on bad review content."""

"""The run folder: what a run was, what it predicted, and what evaluation needs to know about it.

``predictions.jsonl`` is appended line by line. A process may be killed at any moment: a torn last line is
ignored and removed when the run goes on.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, TextIO, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from ameli_llm.errors import AmeliError
from ameli_llm.files import LOCK, first_error, lock, write_json, write_text
from ameli_llm.ids import EntityId, ReviewId, id_of_key
from ameli_llm.types import AttributeValue, Evidence, Link, RankedCandidate, State
from ameli_llm.untrusted import read_json

log = logging.getLogger(__name__)

Id: TypeAlias = StrictInt | StrictStr
"""An id as it stands in JSON: a number stays a number, a string a string."""

Count: TypeAlias = Annotated[int, Field(ge=0, le=10**15)]

LONGEST_LINE = 16 << 20
"""Characters of a line of ``predictions.jsonl``; one with 100 candidates has 30,000."""

TEMPLATES = "templates.json"
"""File with the source of each template that was sent to a model."""

MAX_BYTES = 1 << 30
"""Size of the other files; gold with all attributes takes 3,000 bytes a review."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CandidateRow(_Row):
    """A candidate's scores. Beyond the first K only ``retrieval_score`` was computed."""

    entity_id: Id
    retrieval_score: float
    text_score: float | None = None
    image_score: float | None = None
    score: float
    scores: dict[str, float] = Field(default_factory=dict, description="raw score of each retriever")
    text_scores: dict[str, float] = Field(default_factory=dict, description="score of each comparator")

    @classmethod
    def of(cls, candidate: RankedCandidate) -> CandidateRow:
        """The row of a candidate."""
        return cls(
            entity_id=candidate.entity_id,
            retrieval_score=candidate.retrieval_score,
            text_score=candidate.text_score,
            image_score=candidate.image_score,
            score=candidate.score,
            scores=dict(candidate.scores),
            text_scores=dict(candidate.text_scores),
        )


class EvidenceRow(_Row):
    """Where an attribute value stands in the review; offsets in characters, box in pixels."""

    field: str
    start: int
    end: int
    text: str
    image: str | None = None
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None


class AttributeRow(_Row):
    """An attribute value found in the review."""

    key: str
    value: str
    source: str
    evidence: EvidenceRow
    negated: bool = False

    @classmethod
    def of(cls, value: AttributeValue) -> AttributeRow:
        """The row of an extracted value."""
        place = value.evidence
        return cls(
            key=value.key,
            value=value.value,
            source=value.source,
            negated=value.negated,
            evidence=EvidenceRow(
                field=place.field,
                start=place.start,
                end=place.end,
                text=place.text,
                image=place.image,
                box=place.box,
                confidence=place.confidence,
            ),
        )

    def load(self) -> AttributeValue:
        """The value of the row; who else says the same is not kept."""
        place = Evidence(**self.evidence.model_dump())
        return AttributeValue(self.key, self.value, self.source, place, self.negated)


class VerdictRow(_Row):
    """Whether a candidate's attribute, or its name, agrees with the review."""

    entity_id: Id
    key: str
    verdict: str = Field(description="agree, conflict or unknown")
    text: str = Field("", description="the words that state it")


class TokensRow(_Row):
    """Tokens of the model calls; all zero without a model."""

    prompt: Count = 0
    completion: Count = 0
    cached: Count = 0


class PredictionRow(_Row):
    """A line of ``predictions.jsonl``; ``candidates`` is best first by ``score``, which decides the link."""

    review_id: Id
    state: State
    entity_id: Id | None
    confidence: float | None
    candidates: tuple[CandidateRow, ...] = ()
    attributes: tuple[AttributeRow, ...] = ()
    tokens: TokensRow = TokensRow()
    seconds: float = 0.0
    error: str | None = None
    compared: Count = Field(0, description="K: how many of the candidates were compared")
    kb_probability: float | None = Field(None, description="probability that the product is in the KB")
    none_score: float | None = Field(None, description="score of none of these, when it was asked for")
    orders: Count = 1
    flips: Count = Field(0, description="candidate orders in which the first choice differed")
    evidence: tuple[VerdictRow, ...] = Field(
        (), description="verdicts on the best candidate's attributes and name"
    )
    dropped: dict[str, Count] = Field(
        default_factory=dict, description="discarded attribute values by reason"
    )
    stage_seconds: dict[str, float] = Field(default_factory=dict)
    key: str = Field("", description="hash of everything that decided this line, by which a run resumes")

    @classmethod
    def of(cls, link: Link, key: str = "") -> PredictionRow:
        """The row of a link."""
        best = link.candidates[0].entity_id if link.candidates else None
        return cls(
            review_id=link.review_id,
            state=link.state,
            entity_id=link.entity_id,
            confidence=link.confidence,
            candidates=tuple(CandidateRow.of(candidate) for candidate in link.candidates),
            attributes=tuple(AttributeRow.of(value) for value in link.attributes),
            tokens=TokensRow(
                prompt=link.usage.prompt, completion=link.usage.completion, cached=link.usage.cached
            ),
            seconds=link.seconds,
            error=link.error,
            compared=link.compared,
            kb_probability=link.kb_probability,
            none_score=link.none_score,
            orders=link.orders,
            flips=link.flips,
            evidence=tuple(
                VerdictRow(entity_id=best, key=one.key, verdict=one.verdict, text=one.evidence.text)
                for one in link.verdicts
                if best is not None
            ),
            dropped=dict(link.dropped),
            stage_seconds=dict(link.stage_seconds),
            key=key,
        )


class GoldRow(_Row):
    """What evaluation knows of a review: ``gold`` is None when the right product is not in the KB."""

    gold: Id | None
    category: str = ""
    slices: tuple[str, ...] = ()
    attributes: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class RunFolder:
    """A run on disk. Opening it for writing takes a lock; reading needs none.

    A new folder into which nothing was written, because of an error, does not stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: TextIO | None = None
        self._lock: TextIO | None = None
        self._made = False
        self._guard = threading.Lock()

    def require(self) -> RunFolder:
        """Itself, when ``run.json`` is there. Raises AmeliError otherwise."""
        if not (self.path / "run.json").is_file():
            raise AmeliError(f"{self.path} is not a run folder: it has no run.json.", hint="link makes one.")
        return self

    def manifest(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        return _read_object(self.path / "run.json")

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replaces ``run.json`` as a whole."""
        write_json(self.path / "run.json", manifest)

    def predictions(self) -> Iterator[PredictionRow]:
        """Rows in file order; a torn last line is skipped. Raises AmeliError on any other broken line."""
        path = self.path / "predictions.jsonl"
        if not path.is_file():
            return
        with path.open(encoding="utf-8", errors="replace") as stream:
            for number in itertools.count(1):
                line = stream.readline(LONGEST_LINE + 1)
                if not line.endswith("\n") and len(line) <= LONGEST_LINE:
                    if line:
                        log.warning("%s: line %d is torn and ignored", path, number)
                    return
                try:
                    row = _row(line)
                except ValidationError as error:
                    raise AmeliError(f"{path}: line {number}: {first_error(error)}.") from error
                except ValueError as error:
                    raise AmeliError(f"{path}: line {number}: {error}.") from error
                yield row

    def gold(self) -> dict[ReviewId, GoldRow]:
        """Gold by review id; empty when the run's dataset has none."""
        path = self.path / "gold.json"
        rows: dict[ReviewId, GoldRow] = {}
        for review, content in (_by_id(path) if path.is_file() else {}).items():
            try:
                rows[review] = GoldRow.model_validate(content)
            except ValidationError as error:
                raise AmeliError(f"{path}: review {review}: {first_error(error)}.") from error
        return rows

    def texts(self, name: str) -> dict[ReviewId | EntityId, Any]:
        """``reviews.json`` or ``products.json`` of the run, by id, for reports; empty when absent."""
        path = self.path / f"{name}.json"
        return _by_id(path) if path.is_file() else {}

    def templates(self) -> dict[str, Any]:
        """Templates by name, each with its ``source`` and the files ``included`` in it; empty when absent."""
        path = self.path / TEMPLATES
        return _read_object(path) if path.is_file() else {}

    def append(self, rows: Iterable[PredictionRow]) -> None:
        """Appends rows and flushes them. Thread-safe. Raises AmeliError when the disk is full."""
        lines = "".join(row.model_dump_json() + "\n" for row in rows)
        with self._guard:
            if self._stream is None:
                raise RuntimeError("the run folder is not open for writing")
            try:
                self._stream.write(lines)
                self._stream.flush()
            except OSError as error:
                raise AmeliError(
                    f"Cannot write {self.path / 'predictions.jsonl'}: {error.strerror}.",
                    hint="Make room and type the same command again: finished reviews are kept.",
                ) from error

    def keep(self, rows: Iterable[PredictionRow]) -> None:
        """Replaces the predictions by ``rows``, before the run goes on."""
        text = "".join(row.model_dump_json() + "\n" for row in rows)
        write_text(self.path / "predictions.jsonl", text)

    def arranged(self, ids: Iterable[ReviewId]) -> list[PredictionRow]:
        """Its rows in the order of ``ids``, in which the file has them from then on.

        Call it when nothing more is appended. Raises AmeliError as ``predictions`` does.
        """
        rows = list(self.predictions())
        places = {id_: place for place, id_ in enumerate(ids)}
        ordered = sorted(rows, key=lambda row: places[row.review_id])
        if any(one is not other for one, other in zip(rows, ordered, strict=True)):
            self.keep(ordered)
        return ordered

    def __enter__(self) -> RunFolder:
        self._made = not self.path.exists()
        self._lock = lock(self.path)
        return self

    def open_predictions(self) -> None:
        """Opens ``predictions.jsonl`` for appending; call within the ``with`` block, after ``keep``."""
        self._stream = (self.path / "predictions.jsonl").open("a", encoding="utf-8")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
        if kind is not None and self._made:
            self._leave_nothing()
        if self._lock is not None:
            self._lock.close()
        self._stream = self._lock = None

    def _leave_nothing(self) -> None:
        """Removes a folder that was made just now when nothing has been written to it."""
        with contextlib.suppress(OSError):
            if [each.name for each in self.path.iterdir()] == [LOCK]:
                (self.path / LOCK).unlink()
                self.path.rmdir()


def _row(line: str) -> PredictionRow:
    if len(line) > LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE} characters")
    if "NaN" in line or "Infinity" in line:
        read_json(line)  # pydantic would take them for numbers
    return PredictionRow.model_validate_json(line, strict=True)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path.read_bytes(), max_bytes=MAX_BYTES)
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise AmeliError(f"{path}: {error}.") from error
    if not isinstance(content, dict):
        raise AmeliError(f"{path} holds no JSON object.")
    return content


def _by_id(path: Path) -> dict[ReviewId | EntityId, Any]:
    try:
        return {id_of_key(key): value for key, value in _read_object(path).items()}
    except ValueError as error:
        raise AmeliError(f"{path}: {error}.") from error

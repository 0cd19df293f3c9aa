"""How far a run is: reviews done of those asked for, and how long linking them took.

``run.json`` knows: ``reviews`` is the number asked for, ``sessions`` the times that linking worked at it
(``start``, ``seconds`` until its last review, ``requests`` that a model was sent), ``end`` when it was
finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from ameli_llm import provenance
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error
from ameli_llm.runs import RunFolder


class _Session(BaseModel):
    start: AwareDatetime
    seconds: float | None = Field(None, ge=0)
    requests: int | None = Field(None, ge=0)


class _Record(BaseModel):
    """What ``run.json`` says of the run's progress; runs of older versions lack the last two."""

    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    reviews: int | None = Field(None, ge=0)
    sessions: tuple[_Session, ...] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """``done`` reviews of those ``asked`` for, None where the run does not say.

    ``seconds`` are those that linking worked, pauses between sessions not counted; from ``start`` to ``end``
    where a run has no sessions. ``requests`` are those that reached a model and not the reply cache. Both are
    None where they are not known: of a session that was killed, the requests are not.
    """

    done: int
    asked: int | None
    finished: bool
    seconds: float | None
    requests: int | None = None

    @property
    def requests_per_second(self) -> float | None:
        """Requests to a model by wall time; None where either is not known."""
        return self.requests / self.seconds if self.seconds and self.requests is not None else None

    @property
    def reviews_per_second(self) -> float | None:
        """Reviews by wall time; None where that is not known."""
        return self.done / self.seconds if self.seconds else None

    def __str__(self) -> str:
        reviews = f"{self.done} reviews" if self.asked is None else f"{self.done} of {self.asked} reviews"
        return reviews if self.finished else f"{reviews}: unfinished"


def standing(run: RunFolder, done: int) -> Standing:
    """The standing of a run with ``done`` predictions. Raises AmeliError when ``run.json`` is broken."""
    record = _record(run, run.manifest())
    whole = record.reviews is None or done >= record.reviews
    if record.sessions is not None:
        known = [one.seconds for one in record.sessions if one.seconds is not None]
        seconds = sum(known) if len(known) == len(record.sessions) else None
    elif record.start and record.end:
        seconds = max(0.0, (record.end - record.start).total_seconds())
    else:
        seconds = None
    sent = [one.requests for one in record.sessions or ()]
    requests = sum(n for n in sent if n is not None) if sent and None not in sent else None
    return Standing(done, record.reviews, record.end is not None and whole, seconds, requests)


def settled(run: RunFolder, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with sessions that were killed ended at the last review written.

    Call it before the predictions are touched.
    """
    record = _record(run, manifest)
    path = run.path / "predictions.jsonl"
    last = path.stat().st_mtime if path.is_file() else 0.0
    sessions = [
        {
            "start": one.start.isoformat(),
            "seconds": max(0.0, round(last - one.start.timestamp(), 3))
            if one.seconds is None
            else one.seconds,
            "requests": one.requests,
        }
        for one in record.sessions or ()
    ]
    return {**manifest, "sessions": sessions}


def opened(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a session that begins now."""
    begun = {"start": provenance.now(), "seconds": None, "requests": None}
    return {**manifest, "sessions": [*manifest["sessions"], begun]}


def closed(manifest: Mapping[str, Any], seconds: float, requests: int) -> dict[str, Any]:
    """The manifest with its last session ended after ``seconds``, in which a model got ``requests``."""
    *others, last = manifest["sessions"]
    last = {**last, "seconds": round(seconds, 3), "requests": requests}
    return {**manifest, "sessions": [*others, last]}


def _record(run: RunFolder, manifest: Mapping[str, Any]) -> _Record:
    try:
        return _Record.model_validate(manifest)
    except ValidationError as error:
        raise AmeliError(f"{run.path / 'run.json'}: {first_error(error)}.") from error

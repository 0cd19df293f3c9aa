"""What the stages gave for each review, by their inputs: a later run takes from there what has the same.

``stages.sqlite`` of a run folder has the candidates that retrieval found and what each extractor did, under a
key over everything that decides it. Comparison is not there: its requests are in the reply cache.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from pydantic import TypeAdapter

from ameli_llm.attributes.extractor import Extraction, ExtractionTask, Extractor
from ameli_llm.errors import AmeliError
from ameli_llm.flow import CandidateSource
from ameli_llm.store import TextStore
from ameli_llm.transcripts import from_json, to_json
from ameli_llm.types import Candidate, Review
from ameli_llm.untrusted import read_json

FILE = "stages.sqlite"

InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")

_CANDIDATES = TypeAdapter(list[Candidate])
_EXTRACTION = TypeAdapter(Extraction)


class StageStore(Protocol):
    """Where results of stages are kept by their keys, and found again."""

    def get(self, stage: str, keys: Sequence[str]) -> dict[str, str]:
        """The results that are there."""

    def put(self, results: Mapping[str, str]) -> None:
        """Keeps results under their keys."""


class Stages:
    """The stages of a run in ``folder``, and those of earlier runs, which are read only.

    ``taken`` counts reviews by stage whose result was there already. Threads may share it. A file that cannot
    be written costs the reuse and not the run. Raises AmeliError for an earlier run without stages.
    """

    def __init__(self, folder: Path, earlier: Sequence[Path] = ()) -> None:
        for run in earlier:
            if not (run / FILE).is_file():
                raise AmeliError(
                    f"{run} has no {FILE}: nothing can be taken from it.",
                    hint="Name a run folder of this version that was linked without --no-transcripts.",
                )
        self.folder = folder
        self.earlier = tuple(earlier)
        self._own = TextStore(folder / FILE, compress=True)
        self._earlier = [TextStore(run / FILE, compress=True) for run in earlier if run != folder]
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> dict[str, int]:
        """Reviews by stage, in the order of the stages' names."""
        return dict(sorted(self._taken.items()))

    def get(self, stage: str, keys: Sequence[str]) -> dict[str, str]:
        """The results that are there, those of earlier runs kept as this one's own."""
        found = self._own.get(keys)
        for store in self._earlier:
            if missing := [key for key in keys if key not in found]:
                others = store.get(missing)
                self._own.put(others)
                found |= others
        self.count({stage: len(found)} if found else {})
        return found

    def count(self, taken: Mapping[str, int]) -> None:
        """Adds reviews by stage to ``taken``: those that another process found here."""
        with self._lock:
            self._taken.update(taken)

    def put(self, results: Mapping[str, str]) -> None:
        """Keeps results under their keys."""
        self._own.put(results)

    def close(self) -> None:
        """Closes the files; idempotent."""
        for store in (self._own, *self._earlier):
            store.close()

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class KeptSource:
    """Retrieval that is asked only for reviews whose candidates are not in ``stages``."""

    source: CandidateSource
    stages: StageStore
    key: Callable[[Review, int], str]

    def find(self, reviews: Sequence[Review], depth: int) -> list[list[Candidate]]:
        """As the source finds them."""
        return _kept(
            self.stages,
            "retrieval",
            [self.key(review, depth) for review in reviews],
            reviews,
            lambda missing: self.source.find(missing, depth),
            lambda found: json.dumps(_CANDIDATES.dump_python(found)),
            lambda text: _CANDIDATES.validate_python(read_json(text)),
        )


@dataclass(frozen=True)
class KeptExtractor:
    """An extractor that is asked only for tasks whose extraction is not in ``stages``; failures never are."""

    extractor: Extractor
    stages: StageStore
    key: Callable[[ExtractionTask], str]

    @property
    def name(self) -> str:
        """The extractor's."""
        return self.extractor.name

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        """As the extractor does; a reply that comes from there counts as one of the reply cache."""
        return _kept(
            self.stages,
            f"extraction.{self.name}",
            [self.key(task) for task in tasks],
            tasks,
            self.extractor.extract,
            _extraction_text,
            _read_extraction,
        )


def _kept(
    stages: StageStore,
    stage: str,
    keys: Sequence[str],
    inputs: Sequence[InputT],
    make: Callable[[Sequence[InputT]], list[ResultT]],
    write: Callable[[ResultT], str],
    read: Callable[[str], ResultT],
) -> list[ResultT]:
    """A result per input, in order; what is not there is made, all of it together, and kept.

    What ``write`` makes "" of is not kept.
    """
    results: dict[str, ResultT] = {}
    for key, text in stages.get(stage, keys).items():
        with contextlib.suppress(ValueError):  # an unreadable entry counts as none
            results[key] = read(text)
    missing = {key: given for key, given in zip(keys, inputs, strict=True) if key not in results}
    if missing:
        fresh = dict(zip(missing, make(list(missing.values())), strict=True))
        stages.put({key: text for key, one in fresh.items() if (text := write(one))})
        results |= fresh
    return [results[key] for key in keys]


def _extraction_text(one: Extraction) -> str:
    if one.failure is not None:
        return ""
    content = _EXTRACTION.dump_python(replace(one, exchanges=()))
    return json.dumps({**content, "exchanges": to_json(one.exchanges)})


def _read_extraction(text: str) -> Extraction:
    content = read_json(text)
    exchanges = from_json(content.pop("exchanges"))
    seen = (replace(one, reply=replace(one.reply, seconds=0.0, from_cache=True)) for one in exchanges)
    return replace(_EXTRACTION.validate_python(content), exchanges=tuple(seen))

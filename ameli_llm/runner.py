"""Drives a flow over the reviews of a split into a run folder, and takes an interrupted run up again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from ameli_llm.errors import AmeliError
from ameli_llm.ids import ReviewId
from ameli_llm.runs import PredictionRow, RunFolder
from ameli_llm.transcripts import Transcripts
from ameli_llm.types import Link, Review, State

MAY_CHANGE = frozenset(
    {
        *(f"config.engine.{name}" for name in ("base_url", "concurrency", "timeout", "max_error_rate")),
        "config.retrieval.chroma_url",
    }
)
"""Settings that do not decide results: a run may go on with other ones."""

Progress = Callable[[int, int], None]
"""Called with the reviews done and the reviews in all."""

Linking: TypeAlias = Callable[[Iterable[Sequence[Review]]], Generator[list[Link], None, None]]
"""Links of whole batches, as they are done; closed when nobody wants more of them."""


def fingerprint(content: Any) -> str:
    """sha256 of the canonical JSON of ``content``."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def review_key(review: Review, spec: str, image_path: Callable[[str], Path | None]) -> str:
    """Hash of everything that decides a review's row: its texts, its images' bytes and the run's ``spec``."""
    images = [(name, _file_digest(image_path(name))) for name in review.images]
    return fingerprint([review.id, review.header, review.body, review.mention, images, spec])


def start_or_resume(folder: RunFolder, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest to go on with: the folder's own, or a new one that holds ``spec``.

    Raises AmeliError when the folder holds a run with another ``spec``; how an engine is reached
    (``MAY_CHANGE``) does not count. The folder must be open for writing.
    """
    asked: dict[str, Any] = json.loads(json.dumps(spec, default=str))
    if not (folder.path / "run.json").is_file():
        return {"spec": asked}
    manifest = folder.manifest()
    others = differences(manifest.get("spec", {}), asked)
    changed = [line for name, line in others if name not in MAY_CHANGE]
    if changed:
        raise AmeliError(
            f"{folder.path} holds another run: {changed[0]}.",
            hint="Choose another --out, or delete that folder.",
        )
    return {**manifest, "spec": asked}


def finished(rows: Sequence[PredictionRow], keys: Mapping[ReviewId, str]) -> list[PredictionRow]:
    """The rows that need not be done again: of this very content, and not failed for want of a reply."""
    kept: dict[ReviewId, PredictionRow] = {}
    for row in rows:
        if keys.get(row.review_id) == row.key and row.state is not State.ENGINE_ERROR:
            kept.setdefault(row.review_id, row)
    return list(kept.values())


def resume(folder: RunFolder, keys: Mapping[ReviewId, str]) -> frozenset[ReviewId]:
    """Ids of the reviews that need not be done again; other rows are removed from the predictions.

    Raises AmeliError, and removes nothing, when the folder has reviews that are not asked for now (an earlier
    ``--limit`` was higher). The folder must be open for writing.
    """
    rows = list(folder.predictions())
    beyond = {row.review_id for row in rows} - keys.keys()
    if beyond:
        raise AmeliError(
            f"{folder.path} holds {len(beyond)} reviews beyond the {len(keys)} asked for.",
            hint="Raise --limit, or choose another --out.",
        )
    kept = finished(rows, keys)
    if len(kept) != len(rows) or not _is_whole(folder.path / "predictions.jsonl"):
        folder.keep(kept)
    return frozenset(row.review_id for row in kept)


def run(
    link: Linking,
    reviews: Sequence[Review],
    keys: Mapping[ReviewId, str],
    folder: RunFolder,
    done: Set[ReviewId],
    *,
    batch_size: int,
    progress: Progress,
    transcripts: bool = True,
) -> int:
    """Links what is not ``done`` yet and returns how many reviews that were.

    Batches are cut by position in ``reviews``, done or not, and linked whole: what a batch computes does
    not depend on where an earlier process was killed. ``link`` may give them in any order. The folder must be
    open for writing. ``transcripts`` says whether requests to a model are kept with their replies.
    """
    count = len(done)
    progress(count, len(reviews))
    if count == len(reviews):
        return 0
    folder.open_predictions()
    batches = (reviews[start : start + batch_size] for start in range(0, len(reviews), batch_size))
    pending = (batch for batch in batches if any(review.id not in done for review in batch))
    with Transcripts(folder.path) as kept, closing(link(pending)) as results:
        for linked in results:
            fresh = [one for one in linked if one.review_id not in done]
            if transcripts:
                kept.put(fresh)
            folder.append(PredictionRow.of(one, keys[one.review_id]) for one in fresh)
            count += len(fresh)
            progress(count, len(reviews))
    return count - len(done)


def _is_whole(path: Path) -> bool:
    """Whether the file is there and its last line, if any, is not torn."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - 1, 0))
            return stream.read() in (b"", b"\n")
    except FileNotFoundError:
        return False


def _file_digest(path: Path | None) -> str:
    if path is None:
        return "missing"
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and description of every leaf in which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif old != new:
        yield where, f"{where} was {_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."

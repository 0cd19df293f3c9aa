"""The files of one generation: a Chroma store, sealed exports of it for exact search, and the manifest."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError
from ameli_llm.seal import flaw, seal
from retrieval.manifest import EncoderStamp, IndexDamagedError, Manifest, read_manifest, write_manifest
from retrieval.shared.state import SHARED
from retrieval.snapshot import Entry, ImageEntry, Snapshot
from retrieval.store import open_store

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
ENTRIES = "entries.jsonl"
TEXT, OWNER = "text", "image_owner"
CHROMA = "chroma"


def write_generation(
    place: Path,
    snapshot: Snapshot,
    text: EncoderStamp,
    images: tuple[EncoderStamp, ...],
    dataset_digest: str,
    before: tuple[Path, Snapshot] | None,
    *,
    chroma: bool = True,
) -> None:
    """Fills the folder ``place`` with ``snapshot``; without ``chroma`` with its exports only.

    ``before`` is the folder and content of the generation that it follows: its Chroma store is copied and
    only the difference is written. Raises AmeliError when Chroma does not hold what it was given.
    """
    if chroma:
        _write_store(place / CHROMA, snapshot, before)
    _export(place, snapshot)
    manifest = Manifest(
        dataset_digest=dataset_digest,
        kb_version=snapshot.kb_version,
        text=text,
        image_encoders=images,
        products=len(snapshot.entries),
        images=len(snapshot.image_owner),
        unusable_images=sum(bool(image.problem) for entry in snapshot.entries for image in entry.images),
    )
    write_manifest(place / MANIFEST, manifest)
    seal(place, MANIFEST, ENTRIES, *(f"{name}.npy" for name in _arrays(snapshot)))


def read_generation(place: Path) -> tuple[Manifest, Snapshot]:
    """The verified content of ``place``, vectors mapped into memory. Raises IndexDamagedError."""
    manifest = read_manifest(place / MANIFEST)
    if found := flaw(place):
        raise IndexDamagedError(f"{found}.")
    try:
        text, owner = _load(place, TEXT), _load(place, OWNER)
        images = {stamp.name: _load(place, f"image-{stamp.name}") for stamp in manifest.image_encoders}
        entries = _read_entries(place / ENTRIES)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise IndexDamagedError(f"{type(error).__name__}: {error}.") from error
    return manifest, Snapshot(entries, text, images, owner)


def has_store(place: Path) -> bool:
    """Whether the generation ``place`` has a Chroma store of its own, and its vectors are shared nowhere."""
    return (place / CHROMA).is_dir() and not (place / SHARED).exists()


def _write_store(place: Path, snapshot: Snapshot, before: tuple[Path, Snapshot] | None) -> None:
    if before is not None and (before[0] / CHROMA).is_dir():
        # Under a name of its own: a path that Chroma failed to open stays broken for the process.
        copy = place.with_name(f"{CHROMA}.copy")
        shutil.copytree(before[0] / CHROMA, copy)
        if _attempt(lambda: _fill(copy, snapshot, before[1])):
            copy.rename(place)
            return
        log.warning("The Chroma store of the index in %s is damaged and is made again.", place.parent.parent)
        shutil.rmtree(copy)
    if not _fill(place, snapshot, None):
        raise AmeliError("Chroma does not hold the vectors it was given.", hint="Index into another folder.")


def _attempt(action: Callable[[], bool]) -> bool:
    """False when Chroma cannot even open a store that was copied: it is made again then."""
    try:
        return action()
    except AmeliError:
        return False


def _fill(place: Path, snapshot: Snapshot, before: Snapshot | None) -> bool:
    with open_store(place) as store:
        store.write(snapshot, before)
        return store.holds(snapshot)


def _export(place: Path, snapshot: Snapshot) -> None:
    """Writes the vectors that ``_fill`` has just found in Chroma bit by bit."""
    for name, array in _arrays(snapshot).items():
        np.save(place / f"{name}.npy", array, allow_pickle=False)
    with (place / ENTRIES).open("w", encoding="utf-8") as file:
        for entry in snapshot.entries:
            file.write(json.dumps(asdict(entry)) + "\n")


def _arrays(snapshot: Snapshot) -> dict[str, npt.NDArray[Any]]:
    """What is exported, by the name of its file."""
    images = {f"image-{encoder}": vectors for encoder, vectors in snapshot.images.items()}
    return {TEXT: snapshot.text, OWNER: snapshot.image_owner, **images}


def _load(place: Path, name: str) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


def _read_entries(path: Path) -> tuple[Entry, ...]:
    paths: dict[tuple[str, ...], tuple[str, ...]] = {}
    with path.open(encoding="utf-8") as file:
        return tuple(_entry(json.loads(line), paths) for line in file)


def _entry(content: dict[str, Any], paths: dict[tuple[str, ...], tuple[str, ...]]) -> Entry:
    """``paths`` are the categories of the entries before: each is in memory once."""
    images = tuple(ImageEntry(**image) for image in content["images"])
    category = tuple(content["category"])
    return Entry(
        content["id"], content["name"], paths.setdefault(category, category), content["text"], images
    )

"""Reads a state off a Chroma server into a snapshot, trusting nothing that the server says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ameli_llm.dataset.images import REASONS
from ameli_llm.untrusted import read_json
from retrieval.encoders.encoder import Vectors
from retrieval.manifest import EncoderStamp
from retrieval.shared.state import State, vector_sums
from retrieval.snapshot import Entry, Snapshot, without_images
from retrieval.store import PROBLEMS, TEXT, Store, image_collection, image_records

GREATEST = 1.001
"""No number of a vector is greater: encoders give them L2-normalised, in float32."""


class DiffersError(Exception):
    """What was read is not of the state that was asked for; the message says what differs."""


def read_snapshot(
    store: Store, state: State, entries: Sequence[Entry], text: EncoderStamp, images: Sequence[EncoderStamp]
) -> Snapshot:
    """The snapshot of ``entries`` with the vectors of ``state``. Raises DiffersError."""
    ids = [str(entry.id) for entry in entries]
    if images:
        metadata = store.metadata(TEXT, ids)
        described = tuple(_with_problems(entry, metadata.get(str(entry.id), {})) for entry in entries)
    else:
        described = tuple(map(without_images, entries))
    usable = [row for row, entry in enumerate(described) for image in entry.images if not image.problem]
    bare = Snapshot(described, np.zeros((0, 0), np.float32), {}, np.array(usable, dtype=np.int64))
    if bare.kb_version != state.kb_version:
        raise DiffersError("it is of other products or images")
    image_ids = [record.id for record in image_records(bare)]
    snapshot = replace(
        bare,
        text=_vectors(store, TEXT, ids, text),
        images={
            stamp.name: _vectors(store, image_collection(stamp.name), image_ids, stamp) for stamp in images
        },
    )
    if vector_sums(snapshot) != state.sums:
        raise DiffersError("its vectors are not those that were written")
    return snapshot


def _vectors(store: Store, name: str, ids: Sequence[str], stamp: EncoderStamp) -> Vectors:
    vectors = store.vectors(name, ids, stamp.dimension)
    if vectors is None:
        raise DiffersError(f"the collection of {name} has other records or is not there")
    if not (np.abs(vectors) <= GREATEST).all():  # false for NaN too
        raise DiffersError(f"the collection of {name} has vectors that no encoder makes")
    return vectors


def _with_problems(entry: Entry, metadata: dict[str, object]) -> Entry:
    """The entry with the reasons why images have no vector, as whoever embedded them found."""
    try:
        problems = read_json(str(metadata.get(PROBLEMS, "null"))) or [""] * len(entry.images)
    except ValueError as error:
        raise DiffersError("it has reasons for unusable images that cannot be read") from error
    if not isinstance(problems, list) or len(problems) != len(entry.images):
        raise DiffersError("it is of other images")
    if not all(problem == "" or problem in REASONS for problem in problems):
        raise DiffersError("it has an image that is unusable for no known reason")
    images = (replace(image, problem=why) for image, why in zip(entry.images, problems, strict=True))
    return replace(entry, images=tuple(images))

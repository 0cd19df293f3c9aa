"""Brings an index and a Chroma server to one state: taken from there where it is, else made and put there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from retrieval.generation_files import write_generation
from retrieval.manifest import EncoderStamp
from retrieval.shared.server import Server, StateDamagedError, open_server
from retrieval.shared.state import Shared, State, key_of, vector_sums, write_shared
from retrieval.snapshot import Entry, Snapshot

Stamps: TypeAlias = tuple[EncoderStamp, tuple[EncoderStamp, ...]]
"""The encoders of texts and of images."""
log = logging.getLogger(__name__)


def share(
    server: Server,
    entries: Sequence[Entry],
    stamps: Stamps,
    ef_search: int,
    have: Snapshot | None,
    make: Callable[[], Snapshot],
    keep: Callable[[Snapshot], None],
) -> State:
    """The state of ``entries`` on ``server``, with the very vectors that ``keep`` was given last.

    ``have`` is what the index holds already, ``make`` embeds: it is called only where the server has not the
    state. What was made is kept before it is written there, so that a server that fails costs no embedding.
    Of several that write one state, the first to finish stands, and the others take its vectors.
    """
    key = key_of(entries, *stamps)
    try:
        state = server.find(key)
        taken = _taken(server, state, entries, stamps, have) if state else None
    except StateDamagedError as error:
        log.warning("%s It is made again.", error.message)
        server.remove(key)
        state = taken = None
    if state is not None and taken is not None:
        keep(taken)
        return state
    made = make()
    keep(made)
    state = server.publish(key, made, ef_search)
    taken = _taken(server, state, entries, stamps, made)
    if taken is not made:
        keep(taken)
    return state


def share_generation(
    place: Path,
    before: Shared,
    entries: Sequence[Entry],
    stamps: Stamps,
    dataset_digest: str,
    make: Callable[[], Snapshot],
) -> None:
    """Fills ``place`` with ``entries``, as ``share`` does; the state ``before`` stays on the server."""

    def keep(snapshot: Snapshot) -> None:
        write_generation(place, snapshot, *stamps, dataset_digest, None, chroma=False)

    with open_server(before.url) as server:
        state = share(server, entries, stamps, before.state.ef_search, None, make, keep)
    write_shared(place, Shared(url=before.url, state=state))


def _taken(
    server: Server,
    state: State,
    entries: Sequence[Entry],
    stamps: Stamps,
    have: Snapshot | None,
) -> Snapshot:
    """``have`` where its vectors are bit by bit those of the state, else what the server has."""
    if have is not None and have.kb_version == state.kb_version and vector_sums(have) == state.sums:
        server.require_whole(state)
        return have
    return server.read(state, entries, *stamps)

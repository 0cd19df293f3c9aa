"""States of knowledge bases on a Chroma server, each shared by every linker that asks for it.

The collections of a state are written under a name of their own, and its marker last: what has no marker is
never opened, and is removed when it is a day old.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np

from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.untrusted import read_json
from retrieval.encoders.encoder import Vectors
from retrieval.manifest import REBUILD, EncoderStamp
from retrieval.shared.errors import understood
from retrieval.shared.reading import DiffersError, read_snapshot
from retrieval.shared.state import State, marker_name, vector_sums
from retrieval.snapshot import Entry, Snapshot
from retrieval.store import EF_FACTOR, TEXT, Layout, Store

if TYPE_CHECKING:
    from retrieval.shared.client import BoundedClient

TIMEOUT = 60.0
BATCH = 500
"""Records of one request: some MB, far below what servers and proxies refuse."""
DAY = 86_400 * 10**9
_COLLECTION = re.compile(r"ameli-([0-9a-f]{32})(?:-([0-9a-f]{16})-.+)?")
log = logging.getLogger(__name__)


def ef_search(pool: int) -> int:
    """How far the HNSW of a shared index looks: for this pool, and never for less than the default one.

    A running server does not follow a later change.
    """
    default: int = RetrievalConfig.model_fields["pool"].default
    return EF_FACTOR * max(pool, default)


class StateDamagedError(AmeliError):
    """What a server holds of a state is not what its marker says; the next index of it makes it again."""


@contextmanager
def open_server(url: str, timeout: float = TIMEOUT) -> Iterator[Server]:
    """The server at ``url``, closed at the end of the block; a request may take ``timeout`` seconds.

    Raises MissingDependencyError, and AmeliError when it is down, slow, refuses the token or is of another
    version.
    """
    try:
        from retrieval.shared.client import BoundedClient
    except ImportError as error:
        raise MissingPackageError("chromadb", "retrieval") from error
    with understood(url):
        client = BoundedClient(url, timeout)
    try:
        yield Server(client, url)
    finally:
        client.close()


class Server:
    """An open Chroma server. Every method raises AmeliError when it fails or answers nonsense."""

    def __init__(self, client: BoundedClient, url: str) -> None:
        self._client = client
        self._url = url

    def states(self) -> list[State]:
        """The states that are whole."""
        with understood(self._url):
            names = [one.name for one in self._client.list_collections()]
        keys = [found[1] for name in names if (found := _COLLECTION.fullmatch(name)) and not found[2]]
        return [state for key in keys if (state := self.find(key))]

    def find(self, key: str) -> State | None:
        """The marker of a state, None where the server has not all of it. Raises StateDamagedError."""
        from chromadb.errors import NotFoundError

        with understood(self._url):
            try:
                marker = self._client.get_collection(marker_name(key), embedding_function=None)
            except NotFoundError:
                return None
            content = (marker.metadata or {}).get("state")
        try:
            state = State.model_validate(read_json(str(content)))
        except ValueError as error:
            raise self._damaged(key, "its marker cannot be read") from error
        if state.key != key:
            raise self._damaged(key, f"its marker is of {state.key}")
        return state

    def publish(self, key: str, snapshot: Snapshot, ef_search: int) -> State:
        """Writes a state whole or not at all; where another linker was faster, its state stands."""
        state = State(
            key=key,
            write=secrets.token_hex(8),
            kb_version=snapshot.kb_version,
            products=len(snapshot.entries),
            images=len(snapshot.image_owner),
            ef_search=ef_search,
            sums=vector_sums(snapshot),
        )
        self._remove_left_behind()
        try:
            with understood(self._url):
                store = self._store(state, begun=self._client.heartbeat())
                store.write(snapshot, None)
                held = store.holds(snapshot)
            if not held:
                raise AmeliError(f"The Chroma server at {self._url} does not hold the vectors it was given.")
            return self._mark(state)
        except BaseException:
            with suppress(AmeliError):
                self._remove_collections(state.prefix)
            raise

    def _mark(self, state: State) -> State:
        name = marker_name(state.key)
        try:
            with understood(self._url):
                self._client.create_collection(
                    name, metadata={"state": state.model_dump_json()}, embedding_function=None
                )
        except AmeliError:
            other = self.find(state.key)
            if other is None:
                raise
            if other != state:
                self._remove_collections(state.prefix)
            return other
        return state

    def read(
        self, state: State, entries: Sequence[Entry], text: EncoderStamp, images: Sequence[EncoderStamp]
    ) -> Snapshot:
        """The snapshot of ``entries``, which are those of the state, with every vector checked by its sum.

        ``text`` and ``images`` are the state's encoders. Raises StateDamagedError.
        """
        with understood(self._url):
            try:
                return read_snapshot(self._store(state), state, entries, text, images)
            except DiffersError as error:
                raise self._damaged(state.key, str(error)) from error

    def require_whole(self, state: State) -> None:
        """Raises StateDamagedError unless every collection has as many records as its state."""
        with understood(self._url):
            store = self._store(state)
            for name in state.sums:
                if store.count(name) != (state.products if name == TEXT else state.images):
                    raise self._damaged(state.key, f"the collection of {name} is not whole")

    def require_searchable(self, state: State, k: int) -> None:
        """Raises AmeliError unless HNSW finds the ``k`` nearest texts of this very state."""
        if self.find(state.key) != state:
            raise AmeliError(
                f"The Chroma server at {self._url} has not the vectors that the exports here are of.",
                hint=REBUILD,
            )
        self.require_whole(state)
        if state.ef_search < EF_FACTOR * min(k, state.products):
            most = state.ef_search // EF_FACTOR
            raise AmeliError(
                f"The index on the Chroma server at {self._url} was made for a retrieval.pool of at most "
                f"{most}, the configuration asks for {k}.",
                hint=f"Set retrieval.pool to {most}, or retrieval.search to exact.",
            )

    def nearest(self, state: State, queries: Vectors, k: int) -> list[tuple[list[str], Vectors]]:
        """Ids and dot products of the ``k`` nearest texts by HNSW (approximate), a pair per query."""
        with understood(self._url):
            found = self._store(state).nearest(TEXT, queries, k)
            if len(found) != len(queries) or not all(_is_ranking(ids, scores, k) for ids, scores in found):
                raise ValueError("no ranking of what was asked for")
        return found

    def remove(self, key: str) -> None:
        """Deletes a state. Linkers that search its exports exactly do not miss it."""
        try:
            state = self.find(key)
        except StateDamagedError:
            state = None  # its collections are removed when they are a day old
        self._delete([marker_name(key)])
        if state is not None:
            self._remove_collections(state.prefix)

    def _remove_collections(self, prefix: str) -> None:
        with understood(self._url):
            names = [one.name for one in self._client.list_collections() if one.name.startswith(prefix)]
        self._delete(names)

    def _remove_left_behind(self) -> None:
        """Removes what writers that were killed have left: collections without a marker, a day old."""
        with understood(self._url):
            now = self._client.heartbeat()
            begun = {one.name: (one.metadata or {}).get("begun") for one in self._client.list_collections()}
        found = {name: match for name in begun if (match := _COLLECTION.fullmatch(name))}
        whole = {match[1] for match in found.values() if not match[2]}
        left = [
            name
            for name, match in found.items()
            if match[2] and isinstance(at := begun[name], int) and now - at > DAY
            if match[1] not in whole or self._names_another(match[1], match[2])
        ]
        if left:
            log.info("Removing %d collections that were never finished from %s.", len(left), self._url)
            self._delete(left)

    def _names_another(self, key: str, write: str) -> bool:
        """Whether the marker of a state is of another write; one that cannot be read may be a newer form."""
        try:
            state = self.find(key)
        except StateDamagedError:
            return False
        return state is not None and state.write != write

    def _delete(self, names: Sequence[str]) -> None:
        from chromadb.errors import NotFoundError

        with understood(self._url):
            for name in names:
                with suppress(NotFoundError):  # another linker may be at it
                    self._client.delete_collection(name)

    def _store(self, state: State, begun: int = 0) -> Store:
        return Store(self._client, Layout(state.prefix, BATCH, state.ef_search, {"begun": begun}))

    def _damaged(self, key: str, found: str) -> StateDamagedError:
        return StateDamagedError(
            f"The index {marker_name(key)} on the Chroma server at {self._url} is damaged: {found}.",
            hint=REBUILD,
        )


def _is_ranking(ids: Sequence[str], scores: Vectors, k: int) -> bool:
    return len(set(ids)) == len(ids) <= k and scores.shape == (len(ids),) and bool(np.isfinite(scores).all())

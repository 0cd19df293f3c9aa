"""The Chroma store of an index: a collection of texts and one for each image encoder, with metadata."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.ids import EntityId
from retrieval.encoders.encoder import Vectors
from retrieval.snapshot import Snapshot

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

TEXT = "text"
HINT = "Is the disk full? An index that was there before is as it was."
EF_FACTOR = 4
"""HNSW looks at this many times k products: at k itself it misses about a tenth of the right ones."""


@dataclass(frozen=True)
class Record:
    """One row of a collection without its vector; equal records have equal vectors under one encoder."""

    id: str
    document: str
    metadata: dict[str, str | int]


def image_collection(encoder: str) -> str:
    """The collection with the vectors of an image encoder."""
    return f"image-{encoder}"


def text_records(snapshot: Snapshot) -> list[Record]:
    """A record per product, in index order."""
    return [
        Record(
            str(entry.id),
            entry.text,
            {"product": _stored(entry.id), "name": entry.name, "category": " -> ".join(entry.category)},
        )
        for entry in snapshot.entries
    ]


def image_records(snapshot: Snapshot) -> list[Record]:
    """A record per image vector, in index order; the id is "product:position"."""
    return [
        Record(
            f"{entry.id}:{position}",
            "",
            {"product": _stored(entry.id), "file": image.name, "digest": image.digest},
        )
        for entry in snapshot.entries
        for position, image in enumerate(entry.images)
        if not image.problem
    ]


def _stored(id_: EntityId) -> EntityId:
    """The id as metadata: Chroma's integers have 64 bits and lose a longer one without a word."""
    return id_ if isinstance(id_, str) or -(2**63) <= id_ < 2**63 else str(id_)


@contextmanager
def open_store(folder: Path) -> Iterator[Store]:
    """The store in ``folder``, closed at the end of the block. Raises MissingDependencyError."""
    try:
        import chromadb
        from chromadb.config import Settings
    except ImportError as error:
        raise MissingPackageError("chromadb", "retrieval") from error
    from chromadb.errors import ChromaError

    try:
        client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
    except (ChromaError, ValueError, RuntimeError) as error:
        raise AmeliError(f"Chroma cannot open {folder}: {_first_line(error)}.", hint=HINT) from error
    try:
        yield Store(client)
    except ChromaError as error:
        raise AmeliError(f"Chroma failed in {folder}: {_first_line(error)}.", hint=HINT) from error
    finally:
        client.close()  # type: ignore[attr-defined]  # the class has it, the interface not


class Store:
    """An open Chroma folder."""

    def __init__(self, client: ClientAPI) -> None:
        self._client = client

    def write(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        """Brings the collections to ``snapshot``; ``before`` is what they hold, None when they are new."""
        self._write(TEXT, text_records(snapshot), snapshot.text, text_records(before) if before else [])
        records = image_records(snapshot)
        for encoder, vectors in snapshot.images.items():
            self._write(image_collection(encoder), records, vectors, image_records(before) if before else [])

    def _write(self, name: str, records: list[Record], vectors: Vectors, before: list[Record]) -> None:
        collection = self._client.get_or_create_collection(
            name, embedding_function=None, configuration={"hnsw": {"space": "ip"}}
        )
        held = {record.id: record for record in before}
        gone = sorted(held.keys() - {record.id for record in records})
        changed = [row for row, record in enumerate(records) if held.get(record.id) != record]
        batch = self._client.get_max_batch_size()
        for start in range(0, len(gone), batch):
            collection.delete(ids=gone[start : start + batch])
        for start in range(0, len(changed), batch):
            rows = changed[start : start + batch]
            collection.upsert(
                ids=[records[row].id for row in rows],
                embeddings=vectors[rows],
                documents=[records[row].document for row in rows],
                metadatas=[records[row].metadata for row in rows],
            )

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether the collections hold exactly the ids and vectors of ``snapshot``, bit by bit."""
        records = image_records(snapshot)
        return self._holds(TEXT, text_records(snapshot), snapshot.text) and all(
            self._holds(image_collection(encoder), records, vectors)
            for encoder, vectors in snapshot.images.items()
        )

    def _holds(self, name: str, records: Sequence[Record], vectors: Vectors) -> bool:
        collection = self._collection(name)
        if collection is None or collection.count() != len(records):
            return False
        batch = self._client.get_max_batch_size()
        for start in range(0, len(records), batch):
            ids = [record.id for record in records[start : start + batch]]
            found = collection.get(ids=ids, include=["embeddings"])
            rows = {id_: row for row, id_ in enumerate(found["ids"])}
            if len(rows) != len(ids):
                return False
            stored = np.asarray(found["embeddings"], dtype=np.float32)[[rows[id_] for id_ in ids]]
            if not np.array_equal(stored, vectors[start : start + batch]):
                return False
        return True

    def widen(self, name: str, ef_search: int) -> bool:
        """Sets how far HNSW looks; True when that was a change, which only a store opened anew follows."""
        collection = self._require(name)
        with warnings.catch_warnings():
            # Chroma warns that a collection without an embedding function was stored by an old version.
            warnings.filterwarnings("ignore", "legacy embedding function", DeprecationWarning)
            held = (collection.configuration.get("hnsw") or {}).get("ef_search")
            if held != ef_search:
                collection.modify(configuration={"hnsw": {"ef_search": ef_search}})
        return held != ef_search

    def nearest(self, name: str, queries: Vectors, k: int) -> list[tuple[list[str], Vectors]]:
        """Ids and dot products of the ``k`` nearest records by HNSW (approximate), a pair per query."""
        collection = self._require(name)
        k = min(k, collection.count())
        found = collection.query(query_embeddings=queries, n_results=k, include=["distances"])
        scores = [np.float32(1) - np.asarray(row, dtype=np.float32) for row in found["distances"] or []]
        return list(zip(found["ids"], scores, strict=True))

    def _require(self, name: str) -> Collection:
        collection = self._collection(name)
        if collection is None:
            raise AmeliError(f"The Chroma store has no collection {name!r}.", hint="Type: ameli-llm index")
        return collection

    def _collection(self, name: str) -> Collection | None:
        from chromadb.errors import NotFoundError

        try:
            return self._client.get_collection(name, embedding_function=None)
        except NotFoundError:
            return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

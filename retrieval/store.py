"""The Chroma store of an index: a collection of texts and one for each image encoder, with metadata."""

from __future__ import annotations

import json
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
from retrieval.snapshot import Entry, Snapshot

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

TEXT = "text"
PROBLEMS = "image_problems"
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
            {
                "product": _stored(entry.id),
                "name": entry.name,
                "category": " -> ".join(entry.category),
                **_problems(entry),
            },
        )
        for entry in snapshot.entries
    ]


def _problems(entry: Entry) -> dict[str, str]:
    """Why images have no vector, in their order, where one has none: what is read back without decoding."""
    problems = [image.problem for image in entry.images]
    return {PROBLEMS: json.dumps(problems)} if any(problems) else {}


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
def open_store(folder: Path, hint: str = HINT) -> Iterator[Store]:
    """The store in ``folder``, closed at the end of the block.

    Raises MissingDependencyError, and AmeliError with the ``hint`` when Chroma fails.
    """
    try:
        import chromadb
        from chromadb.config import Settings
    except ImportError as error:
        raise MissingPackageError("chromadb", "retrieval") from error
    from chromadb.errors import ChromaError

    try:
        client = chromadb.PersistentClient(folder, settings=Settings(anonymized_telemetry=False))
    except (ChromaError, ValueError, RuntimeError) as error:
        raise AmeliError(f"Chroma cannot open {folder}: {_first_line(error)}.", hint=hint) from error
    try:
        yield Store(client)
    except ChromaError as error:
        raise AmeliError(f"Chroma failed in {folder}: {_first_line(error)}.", hint=hint) from error
    finally:
        client.close()  # type: ignore[attr-defined]  # the class has it, the interface not


@dataclass(frozen=True)
class Layout:
    """How a store's collections are named and made: ``prefix`` stands before each name.

    ``batch`` is the number of records of one request, None for as many as Chroma takes; ``ef_search`` is how
    far HNSW looks, None for Chroma's own default; ``metadata`` is that of every collection.
    """

    prefix: str = ""
    batch: int | None = None
    ef_search: int | None = None
    metadata: dict[str, int] | None = None


class Store:
    """The collections of one knowledge base in an open Chroma."""

    def __init__(self, client: ClientAPI, layout: Layout = Layout()) -> None:
        self._client = client
        self._layout = layout

    def write(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        """Brings the collections to ``snapshot``; ``before`` is what they hold, None when they are new."""
        self._write(TEXT, text_records(snapshot), snapshot.text, text_records(before) if before else [])
        records = image_records(snapshot)
        for encoder, vectors in snapshot.images.items():
            self._write(image_collection(encoder), records, vectors, image_records(before) if before else [])

    def _write(self, name: str, records: list[Record], vectors: Vectors, before: list[Record]) -> None:
        ef_search = self._layout.ef_search
        collection = self._client.get_or_create_collection(
            self._layout.prefix + name,
            metadata=self._layout.metadata,
            embedding_function=None,
            configuration={"hnsw": {"space": "ip", **({"ef_search": ef_search} if ef_search else {})}},
        )
        held = {record.id: record for record in before}
        gone = sorted(held.keys() - {record.id for record in records})
        changed = [row for row, record in enumerate(records) if held.get(record.id) != record]
        batch = self._batch()
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
        ids = [record.id for record in image_records(snapshot)]
        return self._holds(TEXT, [record.id for record in text_records(snapshot)], snapshot.text) and all(
            self._holds(image_collection(encoder), ids, vectors)
            for encoder, vectors in snapshot.images.items()
        )

    def _holds(self, name: str, ids: Sequence[str], vectors: Vectors) -> bool:
        pages = self._pages(name, ids, vectors.shape[1])
        return all(page is not None and np.array_equal(page, vectors[at]) for at, page in pages)

    def vectors(self, name: str, ids: Sequence[str], dimension: int) -> Vectors | None:
        """[ids, dimension] of a collection with exactly these ids; None where it is not there or differs."""
        stored = np.empty((len(ids), dimension), dtype=np.float32)
        for at, page in self._pages(name, ids, dimension):
            if page is None:
                return None
            stored[at] = page
        return stored

    def _pages(self, name: str, ids: Sequence[str], dimension: int) -> Iterator[tuple[slice, Vectors | None]]:
        """The vectors of a collection batch by batch, each with its rows; None where it differs."""
        collection = self._collection(name)
        if collection is None or collection.count() != len(ids):
            yield slice(0), None
            return
        batch = self._batch()
        for start in range(0, len(ids), batch):
            at = slice(start, start + batch)
            found = collection.get(ids=list(ids[at]), include=["embeddings"])
            rows = {id_: row for row, id_ in enumerate(found["ids"])}
            page = np.asarray(found["embeddings"], dtype=np.float32)
            same = rows.keys() == set(ids[at]) and page.shape == (len(ids[at]), dimension)
            yield at, page[[rows[id_] for id_ in ids[at]]] if same else None

    def count(self, name: str) -> int | None:
        """The records of a collection, None where it is not there."""
        collection = self._collection(name)
        return None if collection is None else collection.count()

    def metadata(self, name: str, ids: Sequence[str]) -> dict[str, dict[str, object]]:
        """The metadata of records, by id; those that are not there are left out."""
        collection, batch = self._require(name), self._batch()
        result: dict[str, dict[str, object]] = {}
        for start in range(0, len(ids), batch):
            found = collection.get(ids=list(ids[start : start + batch]), include=["metadatas"])
            result.update(zip(found["ids"], map(dict, found["metadatas"] or []), strict=True))
        return result

    def _batch(self) -> int:
        return self._layout.batch or self._client.get_max_batch_size()

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
            return self._client.get_collection(self._layout.prefix + name, embedding_function=None)
        except NotFoundError:
            return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""The knowledge base made searchable: Chroma is the record, exports of it are searched exactly.

An index folder holds one generation at a time (``generations``). Opening one reads the exports only; Chroma
is started when it is written to or asked to search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RetrievalConfig
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId
from ameli_llm.seal import Write
from ameli_llm.types import Product
from retrieval import encoders, generations
from retrieval.derived import open_derived
from retrieval.encoders.encoder import ImageEncoder, TextEncoder, Vectors
from retrieval.generation_files import CHROMA, read_generation, write_generation
from retrieval.manifest import (
    REBUILD,
    IndexDamagedError,
    Manifest,
    require_encoders,
    require_same,
)
from retrieval.search import search
from retrieval.shared.server import open_server
from retrieval.shared.sharing import share_generation
from retrieval.shared.state import read_shared, require_store
from retrieval.snapshot import Entry, ImagePath, Snapshot, describe, embed, in_order
from retrieval.store import EF_FACTOR, TEXT, open_store

DERIVED = "derived"
Nearest: TypeAlias = Callable[[Vectors, int], list[tuple[list[str], Vectors]]]
"""Ids and dot products of the k nearest texts, a pair per query."""


def no_image(name: str) -> None:
    """Finds no file for any image name."""


def require_products(products: Sized, owner: str) -> None:
    """Raises AmeliError when there are none: nothing can be found in an empty knowledge base."""
    if not len(products):
        raise AmeliError(
            f"{owner} has no products: the knowledge base is empty.",
            hint="It needs at least one product to link to.",
        )


class Index:
    """An open index. Rows are products in an order blind to their ids: the lower row wins a tie by chance.

    ``product_ids`` has the id of each row, ``rows`` the row of each id, ``shared`` is where the vectors are
    shared (None: nowhere). Vectors are files mapped into memory
    until the index is closed, or the end of its with block; whatever needs them then raises ValueError.
    """

    def __init__(self, folder: Path, place: Path, manifest: Manifest, snapshot: Snapshot) -> None:
        self.folder = folder
        self.place = place
        self.manifest = manifest
        self.shared = read_shared(place)
        self.entries = snapshot.entries
        self.product_ids: tuple[EntityId, ...] = tuple(entry.id for entry in snapshot.entries)
        self.rows: dict[EntityId, int] = {id_: row for row, id_ in enumerate(self.product_ids)}
        self._snapshot: Snapshot | None = snapshot
        self._temporary = ExitStack()
        self._searching = ExitStack()
        self._chroma: tuple[int, Nearest] | None = None
        self._derived: dict[str, Path] = {}
        self.loaded_image_encoders: dict[str, ImageEncoder] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def snapshot(self) -> Snapshot:
        """Entries and vectors."""
        if self._snapshot is None:
            raise ValueError(f"The index in {self.folder} is closed.")
        return self._snapshot

    @property
    def text_vectors(self) -> Vectors:
        """[products, d], L2-normalised."""
        return self.snapshot.text

    def image_vectors(self, encoder: str = "") -> Vectors:
        """[images, d], L2-normalised, by row of their product, of the encoder of that name ("": the first).

        [0, 0] where the index has none of it.
        """
        stamp, images = self.manifest.image(encoder), self.snapshot.images
        return images[stamp.name] if stamp else np.zeros((0, 0), np.float32)

    @property
    def image_owner(self) -> npt.NDArray[np.int64]:
        """[images]: the row of each image's product, ascending."""
        return self.snapshot.image_owner

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """The encoder that made the text vectors. Raises AmeliError when its weights have changed since."""
        stamp = self.manifest.text
        encoder = encoders.text_encoder(stamp.name, stamp.model)
        require_same(self.folder, "text", stamp, encoder)
        return encoder

    def image_encoder(self, name: str = "") -> ImageEncoder | None:
        """The encoder of that name ("": the first), loaded on first use; None where the index is without it.

        Raises AmeliError when its weights have changed since it made the vectors.
        """
        stamp = self.manifest.image(name)
        if stamp is None:
            return None
        if stamp.name not in self.loaded_image_encoders:
            encoder = encoders.image_encoder(stamp.name, stamp.model)
            require_same(self.folder, "image", stamp, encoder)
            self.loaded_image_encoders[stamp.name] = encoder
        return self.loaded_image_encoders[stamp.name]

    def nearest_texts(
        self, queries: Vectors, k: int, *, exact: bool = True
    ) -> list[tuple[npt.NDArray[np.int64], Vectors]]:
        """Rows and dot products of the ``k`` nearest texts, best first, a pair per query.

        Not ``exact``: by the HNSW of Chroma, in the folder or on its server, which is opened on first use.
        Raises IndexDamagedError when it does not hold the index's vectors, AmeliError when a server fails.
        """
        if exact:
            return list(zip(*search(self.text_vectors, queries, k), strict=True))
        if self._chroma is None or self._chroma[0] != k:
            self._close_chroma()
            self._chroma = k, self._searching.enter_context(self._open_chroma(k))
        found, rows = self._chroma[1](queries, k), self._row_of_text
        if unknown := next((i for ids, _ in found for i in ids if i not in rows), None):
            raise IndexDamagedError(f"Chroma found {unknown[:40]!r}, which is no product.", hint=REBUILD)
        return [(np.array([rows[i] for i in ids], dtype=np.int64), s) for ids, s in found]

    @cached_property
    def _row_of_text(self) -> dict[str, int]:
        return {str(id_): row for id_, row in self.rows.items()}

    @contextmanager
    def _open_chroma(self, k: int) -> Iterator[Nearest]:
        if self.shared is not None:
            with open_server(self.shared.url) as server:
                server.require_searchable(self.shared.state, k)
                yield partial(server.nearest, self.shared.state)
            return
        place = self.place / CHROMA
        with open_store(place, REBUILD) as store:
            if not store.holds(self.snapshot):
                raise IndexDamagedError(f"The Chroma store in {self.folder} is damaged.", hint=REBUILD)
            store.widen(TEXT, EF_FACTOR * k)
        with open_store(place, REBUILD) as store:
            yield partial(store.nearest, TEXT)

    def _close_chroma(self) -> None:
        self._chroma = None
        self._searching.close()

    def close(self) -> None:
        """Lets go of Chroma, encoders, vectors and temporary folders; ids and entries stay. Idempotent."""
        self._close_chroma()
        self._temporary.close()
        self._derived.clear()
        self._snapshot = None
        vars(self).pop("text_encoder", None)
        self.loaded_image_encoders.clear()

    def require_changeable(self) -> None:
        """Raises AmeliError when ``upsert``, ``delete`` and ``changed`` could do nothing.

        That is, where the folder cannot be written, or an encoder of the index, used for links or not, is
        missing or has other weights than when it made the vectors. Waits for another process that writes.
        """
        with generations.writer(self.folder):
            pass
        _ = self.text_encoder, *(self.image_encoder(stamp.name) for stamp in self.manifest.image_encoders)

    def derived(self, name: str, write: Write) -> Path:
        """A folder with what ``write`` makes of this generation, made on first use and kept with it.

        It is verified once for each open index and made again when it is damaged. Where the index cannot be
        written to, it is made in a temporary folder that goes when the index is closed.
        """
        if name not in self._derived:
            home = self.place / DERIVED
            self._derived[name] = open_derived(home, name, write, self._temporary)
        return self._derived[name]

    def upsert(self, products: Iterable[Product], image_path: ImagePath = no_image) -> Index:
        """The index with these products added or replaced; only what changed is embedded.

        ``image_path`` finds the file of an image name; an image without a file is kept as missing. This
        object stays on the old generation. Raises AmeliError when another process writes or has written
        since: waiting would not help, as this object is then of the past.
        """
        new = describe(products, image_path)
        kept = {entry.id: entry for entry in self.entries}
        return self._change({**kept, **{entry.id: entry for entry in new}}, image_path)

    def delete(self, ids: Iterable[EntityId]) -> Index:
        """The index without these products; otherwise as ``upsert``.

        Raises AmeliError that names an id it does not have, or when no product would be left.
        """
        kept = {entry.id: entry for entry in self.entries}
        for id_ in ids:
            if kept.pop(id_, None) is None:
                raise AmeliError(f"The index in {self.folder} has no product {id_!r}.")
        return self._change(kept, no_image)

    def changed(
        self,
        products: Iterable[Product],
        deleted: Iterable[EntityId],
        image_path: ImagePath = no_image,
        dataset_digest: str = "",
    ) -> Index:
        """The index with ``products`` added or replaced and those of the ids ``deleted`` gone, in one step.

        ``dataset_digest`` is that of the dataset in its new state. Otherwise as ``upsert``; ids that it does
        not have are nothing to delete. The new object has the encoders that this one has loaded.
        """
        new = describe(products, image_path)
        gone = {*deleted, *(entry.id for entry in new)}
        kept = {entry.id: entry for entry in self.entries if entry.id not in gone}
        return self._change({**kept, **{entry.id: entry for entry in new}}, image_path, dataset_digest)

    def _change(
        self, entries: dict[EntityId, Entry], image_path: ImagePath, dataset_digest: str = ""
    ) -> Index:
        require_products(entries, f"The index in {self.folder}")
        with generations.writer(self.folder, wait=False):
            if generations.current(self.folder) != self.place:
                raise AmeliError(
                    f"The index in {self.folder} has changed since it was opened.", hint="Open it again."
                )
            ordered, known = in_order(entries.values()), self.snapshot
            stamps = self.manifest.text, self.manifest.image_encoders
            held = {stamp.name: known for stamp in stamps[1]}

            def make() -> Snapshot:
                of_images = [one for stamp in stamps[1] if (one := self.image_encoder(stamp.name))]
                return embed(ordered, image_path, self.text_encoder, of_images, known, held)

            with generations.new(self.folder) as place:
                if self.shared is not None:
                    share_generation(place, self.shared, ordered, stamps, dataset_digest, make)
                else:
                    write_generation(place, make(), *stamps, dataset_digest, (self.place, known))
        index = read_index(self.folder)
        if (index.manifest.text, index.manifest.image_encoders) == stamps:
            if "text_encoder" in vars(self):
                index.text_encoder = self.text_encoder
            index.loaded_image_encoders.update(self.loaded_image_encoders)
        return index


def open_index(folder: Path, config: RetrievalConfig, dataset_digest: str = "") -> Index:
    """The verified index in ``folder``; one that another process is writing is waited for.

    Raises AmeliError when there is none, when its encoders are not those of ``config``, or when it was made
    from another state of the dataset than ``dataset_digest`` (not checked when empty); IndexDamagedError
    when a file is not what the manifest says.
    """
    try:
        return fitting_index(folder, config, dataset_digest)
    except AmeliError:
        if not generations.wait_for_writer(folder):
            raise
    return fitting_index(folder, config, dataset_digest)


def read_index(folder: Path) -> Index:
    """The verified index in ``folder``, of whatever encoders. Raises AmeliError, IndexDamagedError."""
    place = generations.current(folder)
    if place is None:
        raise AmeliError(f"No index in {folder}.", hint=REBUILD)
    try:
        return Index(folder, place, *read_generation(place))
    except IndexDamagedError as error:
        if generations.current(folder) != place:  # replaced by a writer while it was read
            return read_index(folder)
        raise IndexDamagedError(f"The index in {folder} is damaged: {error.message}", hint=REBUILD) from error


def fitting_index(folder: Path, config: RetrievalConfig, dataset_digest: str) -> Index:
    """As ``open_index``, without waiting."""
    index = read_index(folder)
    require_encoders(folder, index.manifest, config)
    require_store(folder, index.shared, config)
    if dataset_digest and index.manifest.dataset_digest != dataset_digest:
        raise AmeliError(f"The index in {folder} was made from another state of the dataset.", hint=REBUILD)
    return index

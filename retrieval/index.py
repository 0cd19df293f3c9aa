"""The knowledge base made searchable: Chroma is the record, exports of it are searched exactly.

An index folder holds one generation at a time (``generations``). Opening one reads the exports only; Chroma
is started when it is written to or asked to search.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.types import Product, Progress
from retrieval import encoders, generations
from retrieval.encoders.encoder import ImageEncoder, TextEncoder, Vectors
from retrieval.generation_files import CHROMA, read_generation, write_generation
from retrieval.manifest import EncoderStamp, IndexDamagedError, Manifest
from retrieval.search import search
from retrieval.snapshot import Entry, ImagePath, Snapshot, describe, embed, in_order
from retrieval.store import EF_FACTOR, TEXT, Store, open_store

log = logging.getLogger(__name__)

DERIVED = "derived"
REBUILD = "Type: ameli-llm index DATASET"


def no_image(name: str) -> None:
    """Finds no file for any image name."""


class Index:
    """An open index. Rows are products in an order blind to their ids: the lower row wins a tie by chance."""

    def __init__(self, folder: Path, place: Path, manifest: Manifest, snapshot: Snapshot) -> None:
        self.folder = folder
        self.place = place
        self.manifest = manifest
        self.snapshot = snapshot
        self.entries = snapshot.entries
        self.product_ids: npt.NDArray[np.int64] = np.array([e.id for e in snapshot.entries], dtype=np.int64)
        self.text_vectors: Vectors = snapshot.text
        self.image_vectors: Vectors = snapshot.image
        self.image_owner: npt.NDArray[np.int64] = snapshot.image_owner
        self._stack = ExitStack()
        self._chroma: tuple[int, Store] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def rows(self) -> dict[int, int]:
        """Row of each product id."""
        return {int(id_): row for row, id_ in enumerate(self.product_ids)}

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """The encoder that made the text vectors. Raises AmeliError when its weights have changed since."""
        stamp = self.manifest.text
        encoder = encoders.text_encoder(stamp.name, stamp.model)
        _require_same(self.folder, "text", stamp, EncoderStamp.of(encoder))
        return encoder

    @cached_property
    def image_encoder(self) -> ImageEncoder | None:
        """The encoder that made the image vectors, None in an index without images."""
        stamp = self.manifest.image
        if stamp is None:
            return None
        encoder = encoders.image_encoder(stamp.name, stamp.model)
        _require_same(self.folder, "image", stamp, EncoderStamp.of(encoder))
        return encoder

    def nearest_texts(
        self, queries: Vectors, k: int, *, exact: bool = True
    ) -> list[tuple[npt.NDArray[np.int64], Vectors]]:
        """Rows and dot products of the ``k`` nearest texts, best first, a pair per query.

        Not ``exact``: by Chroma's HNSW, which is opened on first use. Raises IndexDamagedError when it does
        not hold the index's vectors.
        """
        if exact:
            return list(zip(*search(self.text_vectors, queries, k), strict=True))
        if self._chroma is None or self._chroma[0] != k:
            self._chroma = k, self._stack.enter_context(self._open_chroma(k))
        found = self._chroma[1].nearest(TEXT, queries, k)
        return [(np.array([self.rows[int(i)] for i in ids], dtype=np.int64), s) for ids, s in found]

    @contextmanager
    def _open_chroma(self, k: int) -> Iterator[Store]:
        place = self.place / CHROMA
        with open_store(place) as store:
            if not store.holds(self.snapshot):
                raise IndexDamagedError(f"The Chroma store in {self.folder} is damaged.", hint=REBUILD)
            store.widen(TEXT, EF_FACTOR * k)
        with open_store(place) as store:
            yield store

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes Chroma if it was opened; idempotent."""
        self._stack.close()
        self._chroma = None

    def derived(self, name: str, write: Callable[[Path], None]) -> Path:
        """A folder with what ``write`` makes of this generation, made on first use and kept with it.

        Where the index cannot be written to, it is made in a temporary folder.
        """
        place = self.place / DERIVED / name
        if place.is_dir():
            return place
        try:
            place.parent.mkdir(exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=place.parent))
        except OSError:
            draft = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ameli-llm-")))
            write(draft)
            return draft
        try:
            write(draft)
            os.replace(draft, place)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if not place.is_dir():
                raise AmeliError(f"Cannot write to the index in {self.folder}: {error.strerror}.") from error
        return place

    def upsert(self, products: Iterable[Product], image_path: ImagePath = no_image) -> Index:
        """The index with these products added or replaced; only what changed is embedded.

        ``image_path`` finds the file of an image name; an image without a file is kept as missing. This
        object stays on the old generation. Raises AmeliError when another process writes.
        """
        new = describe(products, image_path)
        kept = {entry.id: entry for entry in self.entries}
        return self._change({**kept, **{entry.id: entry for entry in new}}, image_path)

    def delete(self, ids: Iterable[int]) -> Index:
        """The index without these products. Raises AmeliError that names an id it does not have."""
        kept = {entry.id: entry for entry in self.entries}
        for id_ in ids:
            if kept.pop(id_, None) is None:
                raise AmeliError(f"The index in {self.folder} has no product {id_}.")
        return self._change(kept, no_image)

    def _change(self, entries: dict[int, Entry], image_path: ImagePath) -> Index:
        with generations.writer(self.folder):
            if generations.current(self.folder) != self.place:
                raise AmeliError(
                    f"The index in {self.folder} has changed since it was opened.", hint="Open it again."
                )
            ordered, known = in_order(entries.values()), self.snapshot
            snapshot = embed(ordered, image_path, self.text_encoder, self.image_encoder, known, known)
            stamps = self.manifest.text, self.manifest.image
            with generations.new(self.folder) as place:
                write_generation(place, snapshot, *stamps, "", (self.place, self.snapshot))
        return _read(self.folder)


def build_index(
    dataset: Dataset, folder: Path, config: RetrievalConfig, progress: Progress | None = None
) -> Index:
    """The index of ``dataset`` in ``folder``, brought up to date: only what changed is embedded.

    A damaged index is made again; after a change of encoder, what that encoder makes. Raises AmeliError when
    another process writes, the disk is full, or an encoder is not at hand; the index is then as it was.
    """
    with generations.writer(folder):
        text_encoder = encoders.text_encoder(config.text_encoder, config.text_model)
        image_encoder = _image_encoder(config)
        text = EncoderStamp.of(text_encoder)
        image = EncoderStamp.of(image_encoder) if image_encoder else None
        old = _whole(folder)
        texts = old.snapshot if old and old.manifest.text == text else None
        images = old.snapshot if old and old.manifest.image == image else None
        before = old if texts and images else None
        if old and not before:
            log.warning("The index in %s is of another encoder and is made again.", folder)
        image_path = dataset.product_image
        entries = describe(dataset.products.values(), image_path)
        snapshot = embed(entries, image_path, text_encoder, image_encoder, texts, images, progress)
        versions = snapshot.kb_version, dataset.digest
        if before is None or (before.manifest.kb_version, before.manifest.dataset_digest) != versions:
            base = (before.place, before.snapshot) if before else None
            with generations.new(folder) as place:
                write_generation(place, snapshot, text, image, dataset.digest, base)
    return _read(folder)


def open_index(folder: Path, config: RetrievalConfig, dataset_digest: str = "") -> Index:
    """The verified index in ``folder``.

    Raises AmeliError when there is none, when its encoders are not those of ``config``, or when it was made
    from another state of the dataset than ``dataset_digest`` (not checked when empty); IndexDamagedError
    when a file is not what the manifest says.
    """
    index = _read(folder)
    manifest = index.manifest
    _require_encoder(folder, "text", manifest.text, config.text_encoder, config.text_model)
    _require_encoder(folder, "image", manifest.image, config.image_encoder, config.image_model)
    if dataset_digest and manifest.dataset_digest != dataset_digest:
        raise AmeliError(f"The index in {folder} was made from another state of the dataset.", hint=REBUILD)
    return index


def _read(folder: Path) -> Index:
    place = generations.current(folder)
    if place is None:
        raise AmeliError(f"No index in {folder}.", hint=REBUILD)
    try:
        return Index(folder, place, *read_generation(place))
    except IndexDamagedError as error:
        if generations.current(folder) != place:  # replaced by a writer while it was read
            return _read(folder)
        raise IndexDamagedError(f"The index in {folder} is damaged: {error.message}", hint=REBUILD) from error


def _image_encoder(config: RetrievalConfig) -> ImageEncoder | None:
    if config.image_encoder == encoders.NONE:
        return None
    return encoders.image_encoder(config.image_encoder, config.image_model)


def _whole(folder: Path) -> Index | None:
    """The current index, None when there is none or it is damaged."""
    if generations.current(folder) is None:
        return None
    try:
        return _read(folder)
    except IndexDamagedError as error:
        log.warning("%s It is made again.", error.message)
        return None


def _require_encoder(folder: Path, kind: str, stamp: EncoderStamp | None, name: str, model: str) -> None:
    asked = name if name == encoders.NONE else f"{name} {encoders.full_name(name, model)}".strip()
    found = encoders.NONE if stamp is None else f"{stamp.name} {stamp.model}".strip()
    if asked != found:
        raise AmeliError(
            f"The index in {folder} has {kind} vectors of {found!r}, the configuration asks for {asked!r}.",
            hint="Type: ameli-llm index DATASET --config FILE to replace it; --out names another folder.",
        )


def _require_same(folder: Path, kind: str, stamp: EncoderStamp, found: EncoderStamp) -> None:
    if stamp != found:
        raise AmeliError(
            f"The index in {folder} has {kind} vectors of {stamp}, but the encoder at hand is {found}.",
            hint=REBUILD,
        )

"""The content of an index at one moment: products with their vectors, in an order blind to their ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId, id_order
from ameli_llm.seal import file_checksum
from ameli_llm.ties import chance
from ameli_llm.types import Product, Progress
from retrieval.encoders._pictures import encode_together
from retrieval.encoders.encoder import ImageEncoder, TextEncoder, Vectors
from retrieval.texts import entity_text

ImagePath: TypeAlias = Callable[[str], Path | None]
Found: TypeAlias = dict[str, Vectors | ImageProblem]
TEXT_STEP = 256
IMAGE_STEP = 64


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image of a product: SHA-256 of the file, and why it has no vector ("" when it has one)."""

    name: str
    digest: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What an index keeps of a product; ``text`` is the text that was embedded."""

    id: EntityId
    name: str
    category: tuple[str, ...]
    text: str
    images: tuple[ImageEntry, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over everything in the entry, image contents included."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Snapshot:
    """Entries and vectors: of texts, and of images by the name of their encoder.

    ``image_owner[j]`` is the row of the entry that image vector ``j`` of every encoder belongs to.
    """

    entries: tuple[Entry, ...]
    text: Vectors
    images: Mapping[str, Vectors]
    image_owner: npt.NDArray[np.int64]

    @property
    def kb_version(self) -> str:
        """SHA-256 over ids and contents of all products."""
        digests = (entry.digest for entry in sorted(self.entries, key=lambda entry: id_order(entry.id)))
        return hashlib.sha256("".join(digests).encode()).hexdigest()


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in the order of an index. Its rows decide ties, so the order is by ``ties.chance``.

    Raises AmeliError when two products have one id, or ids of the same text.
    """
    by_text: dict[str, Entry] = {}
    for entry in entries:
        other = by_text.setdefault(str(entry.id), entry)
        if other is not entry:
            raise AmeliError(
                f"Two products have ids of the same text: {other.id!r} ({other.name[:40]!r}) and "
                f"{entry.id!r} ({entry.name[:40]!r}).",
                hint="Give every product an id of its own.",
            )
    return sorted(by_text.values(), key=lambda entry: chance(entry.id))


def describe(products: Iterable[Product], image_path: ImagePath) -> tuple[Entry, ...]:
    """The entries of ``products``, ``in_order``; reads every image file once for its hash."""
    found = (
        Entry(
            id=product.id,
            name=product.name,
            category=product.category,
            text=entity_text(product),
            images=tuple(_image_entry(name, image_path(name)) for name in product.images),
        )
        for product in products
    )
    return tuple(in_order(found))


def _image_entry(name: str, path: Path | None) -> ImageEntry:
    if path is None:
        return ImageEntry(name, "", "missing")
    try:
        return ImageEntry(name, file_checksum(path))
    except OSError:
        return ImageEntry(name, "", "missing")


def embed(
    entries: Sequence[Entry],
    image_path: ImagePath,
    text_encoder: TextEncoder,
    image_encoders: Sequence[ImageEncoder],
    known_texts: Snapshot | None,
    known_images: Mapping[str, Snapshot],
    progress: Progress | None = None,
) -> Snapshot:
    """The snapshot of ``entries``.

    A text that ``known_texts`` has is not encoded again, nor an image whose content is in ``known_images``
    under the name of the encoder; they must be of these encoders. An image has a vector of every encoder or
    of none. ``progress`` is called with the stage ("texts", "images", with the encoder's name where there are
    several), the number done and the number to encode.
    """
    text = _embed_texts([entry.text for entry in entries], text_encoder, known_texts, progress)
    if not image_encoders:
        bare = tuple(map(without_images, entries))
        return Snapshot(bare, text, {}, np.zeros(0, np.int64))
    found = _embed_images(entries, image_path, image_encoders, known_images, progress)
    described = tuple(_with_problems(entry, list(found.values())) for entry in entries)
    usable = [
        (row, image.digest)
        for row, entry in enumerate(described)
        for image in entry.images
        if not image.problem
    ]
    vectors = {
        encoder.name: _stacked([found[encoder.name][digest] for _, digest in usable], encoder.dimension)
        for encoder in image_encoders
    }
    return Snapshot(described, text, vectors, np.array([row for row, _ in usable], dtype=np.int64))


def _stacked(rows: Sequence[Vectors | ImageProblem], dimension: int) -> Vectors:
    vectors = [row for row in rows if isinstance(row, np.ndarray)]
    return np.stack(vectors) if vectors else np.zeros((0, dimension), np.float32)


def _embed_texts(
    texts: Sequence[str], encoder: TextEncoder, known: Snapshot | None, progress: Progress | None
) -> Vectors:
    have = {entry.text: row for row, entry in enumerate(known.entries)} if known else {}
    missing = list(dict.fromkeys(text for text in texts if text not in have))
    new: dict[str, Vectors] = {}
    by_length = sorted(missing, key=len)
    for start in range(0, len(missing), TEXT_STEP):
        step = by_length[start : start + TEXT_STEP]
        new.update(zip(step, encoder.encode(step), strict=True))
        if progress:
            progress("texts", min(start + TEXT_STEP, len(missing)), len(missing))
    result = np.zeros((len(texts), encoder.dimension), dtype=np.float32)
    for row, text in enumerate(texts):
        result[row] = new[text] if text in new else known.text[have[text]]  # type: ignore[union-attr]
    return result


def _embed_images(
    entries: Sequence[Entry],
    image_path: ImagePath,
    encoders: Sequence[ImageEncoder],
    known: Mapping[str, Snapshot],
    progress: Progress | None,
) -> dict[str, Found]:
    """Of each encoder by name: vector or problem by image digest."""
    found: dict[str, Found] = {
        encoder.name: dict(_known_images(known.get(encoder.name), encoder.name)) for encoder in encoders
    }
    paths: dict[str, Path] = {}
    for image in (image for entry in entries for image in entry.images if image.digest):
        path = None if all(image.digest in one for one in found.values()) else image_path(image.name)
        if path is not None:
            paths.setdefault(image.digest, path)
    for lacking, digests in _by_lacking(paths, found).items():
        asked = [encoder for encoder in encoders if encoder.name in lacking]
        stage = "images" if len(asked) == len(encoders) else f"images ({', '.join(lacking)})"
        for start in range(0, len(digests), IMAGE_STEP):
            step = digests[start : start + IMAGE_STEP]
            for name, vectors in encode_together(asked, [paths[digest] for digest in step]).items():
                found[name].update(zip(step, vectors, strict=True))
            if progress:
                progress(stage, min(start + IMAGE_STEP, len(digests)), len(digests))
    return found


def _by_lacking(digests: Iterable[str], found: Mapping[str, Found]) -> dict[tuple[str, ...], list[str]]:
    """The images by the names of the encoders that have nothing of them yet."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for digest in digests:
        lacking = tuple(name for name, vectors in found.items() if digest not in vectors)
        groups.setdefault(lacking, []).append(digest)
    return groups


def _known_images(known: Snapshot | None, encoder: str) -> Iterable[tuple[str, Vectors]]:
    """Digest and vector of each image vector; problems are tried again, since they cost little."""
    if known is None:
        return ()
    usable = [image.digest for entry in known.entries for image in entry.images if not image.problem]
    return zip(usable, known.images[encoder], strict=True)


def _with_problems(entry: Entry, found: Sequence[Found]) -> Entry:
    """The entry with the reason why an image has no vector: that of the first encoder that has one."""
    images = []
    for image in entry.images:
        results = [vectors.get(image.digest) for vectors in found]
        reasons = (getattr(one, "reason", "") if one is not None else image.problem for one in results)
        images.append(ImageEntry(image.name, image.digest, next(filter(None, reasons), "")))
    return Entry(entry.id, entry.name, entry.category, entry.text, tuple(images))


def without_images(entry: Entry) -> Entry:
    """The entry as an index without image encoders keeps it."""
    return Entry(entry.id, entry.name, entry.category, entry.text, ())

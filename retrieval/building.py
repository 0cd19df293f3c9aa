"""Builds the index of a dataset or brings it up to date: only what no index of it has is embedded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.image_encoders import name_and_model
from ameli_llm.paths import index_dir
from ameli_llm.types import Progress
from retrieval import encoders, generations
from retrieval.generation_files import MANIFEST, read_generation, write_generation
from retrieval.index import Index, fitting_index, read_index, require_products
from retrieval.manifest import EncoderStamp, IndexDamagedError, Manifest, read_manifest
from retrieval.snapshot import Snapshot, describe, embed

log = logging.getLogger(__name__)


def build_index(
    dataset: Dataset, folder: Path, config: RetrievalConfig, progress: Progress | None = None
) -> Index:
    """The index of ``dataset`` in ``folder``, brought up to date; a damaged one is made again.

    In the cache, vectors are taken over from the dataset's indexes under other encoders as far as they fit.
    While another process builds in ``folder``, waits, and then takes over what it built. Raises AmeliError
    when there are no products, the disk is full, or an encoder is not at hand; the index is then as it was.
    """
    where = f"in {dataset.root}" if dataset.root else repr(dataset.name)
    require_products(dataset.products, f"The dataset {where}")
    with generations.writer(folder) as waited:
        if waited and (made := _made_meanwhile(dataset, folder, config)):
            return made
        text_encoder = encoders.text_encoder(config.text_encoder, config.text_model)
        image_encoders = [encoders.image_encoder(*name_and_model(one)) for one in config.image_encoders]
        text = EncoderStamp.of(text_encoder)
        images = tuple(EncoderStamp.of(encoder) for encoder in image_encoders)
        old = _whole(folder)
        before = old if old and (old.manifest.text, old.manifest.image_encoders) == (text, images) else None
        if old and not before:
            log.warning("The index in %s is of other encoders and is made again.", folder)
        image_path = dataset.product_image
        entries = describe(dataset.products.values(), image_path)
        beside = _beside(dataset, folder, config)
        known_texts = _known(old, beside, lambda manifest: manifest.text == text)
        known_images: dict[str, Snapshot] = {}
        for stamp in images:
            if known := _known(old, beside, partial(_has_images, stamp)):
                known_images[stamp.name] = known
        snapshot = embed(
            entries, image_path, text_encoder, image_encoders, known_texts, known_images, progress
        )
        versions = snapshot.kb_version, dataset.digest
        if before is None or (before.manifest.kb_version, before.manifest.dataset_digest) != versions:
            base = (before.place, before.snapshot) if before else None
            with generations.new(folder) as place:
                write_generation(place, snapshot, text, images, dataset.digest, base)
    return read_index(folder)


def _made_meanwhile(dataset: Dataset, folder: Path, config: RetrievalConfig) -> Index | None:
    """What another process has built, if it is what ``config`` asks for."""
    try:
        return fitting_index(folder, config, dataset.digest)
    except AmeliError:
        return None


def _whole(folder: Path) -> Index | None:
    """The current index, None when there is none or it is damaged."""
    if generations.current(folder) is None:
        return None
    try:
        return read_index(folder)
    except IndexDamagedError as error:
        log.warning("%s It is made again.", error.message)
        return None


def _beside(dataset: Dataset, folder: Path, config: RetrievalConfig) -> list[Path]:
    """The current generations of the dataset's indexes under other encoders, beside it in the cache."""
    if folder.parent != index_dir(dataset.key, config).parent:
        return []
    others = sorted(other for other in folder.parent.iterdir() if other != folder)
    return [place for place in map(generations.current, others) if place is not None]


def _has_images(stamp: EncoderStamp, manifest: Manifest) -> bool:
    return stamp in manifest.image_encoders


def _known(old: Index | None, beside: list[Path], has_vectors: Callable[[Manifest], bool]) -> Snapshot | None:
    """An index that has the vectors asked for: the old one, else the first of those beside it."""
    if old is not None and has_vectors(old.manifest):
        return old.snapshot
    for place in beside:
        try:
            if has_vectors(read_manifest(place / MANIFEST)):
                return read_generation(place)[1]
        except IndexDamagedError:
            continue  # whoever opens it mends it
    return None

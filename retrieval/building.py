"""Builds the index of a dataset or brings it up to date: only what no index of it has is embedded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ameli_llm.address import normalised
from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.errors import AmeliError
from ameli_llm.image_encoders import name_and_model
from ameli_llm.paths import index_dir
from ameli_llm.types import Progress
from retrieval import encoders, generations
from retrieval.generation_files import MANIFEST, has_store, read_generation, write_generation
from retrieval.index import Index, fitting_index, read_index, require_products
from retrieval.manifest import EncoderStamp, IndexDamagedError, Manifest, read_manifest
from retrieval.shared.server import ef_search, open_server
from retrieval.shared.sharing import Stamps, share
from retrieval.shared.state import Shared, write_shared
from retrieval.snapshot import Entry, Snapshot, describe, embed

log = logging.getLogger(__name__)


def build_index(
    dataset: Dataset, folder: Path, config: RetrievalConfig, progress: Progress | None = None
) -> Index:
    """The index of ``dataset`` in ``folder``, brought up to date; a damaged one is made again.

    In the cache, vectors are taken over from the dataset's indexes under other encoders as far as they fit.
    With ``config.store`` of chroma-server, what the server has of these products under these encoders is
    taken from there, and what it has not is written there. While another process builds in ``folder``, waits,
    and then takes over what it built. Raises AmeliError when there are no products, the disk is full, an
    encoder is not at hand or the server fails; the index is then as it was, or whole but not yet shared.
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
        entries = describe(dataset.products.values(), dataset.product_image)

        def make() -> Snapshot:
            beside = _beside(dataset, folder, config)
            known_texts = _known(old, beside, lambda manifest: manifest.text == text)
            known_images: dict[str, Snapshot] = {}
            for stamp in images:
                if known := _known(old, beside, partial(_has_images, stamp)):
                    known_images[stamp.name] = known
            image_path = dataset.product_image
            return embed(
                entries, image_path, text_encoder, image_encoders, known_texts, known_images, progress
            )

        keep = partial(_keep, folder, config, (text, images), dataset.digest, before)
        if config.store == "folder":
            keep(make())
        else:
            _share(folder, config, entries, (text, images), before, make, keep)
    return read_index(folder)


def _keep(
    folder: Path,
    config: RetrievalConfig,
    stamps: Stamps,
    dataset_digest: str,
    before: Index | None,
    snapshot: Snapshot,
) -> None:
    """Makes ``snapshot`` the current generation, where ``before`` is not that already."""
    if before is not None:
        manifest, same = before.manifest, snapshot is before.snapshot
        if config.store == "folder":
            same = manifest.kb_version == snapshot.kb_version and has_store(before.place)
        if same and manifest.dataset_digest == dataset_digest:
            return
    base = (before.place, before.snapshot) if before else None
    with generations.new(folder) as place:
        write_generation(place, snapshot, *stamps, dataset_digest, base, chroma=config.store == "folder")


def _share(
    folder: Path,
    config: RetrievalConfig,
    entries: Sequence[Entry],
    stamps: Stamps,
    before: Index | None,
    make: Callable[[], Snapshot],
    keep: Callable[[Snapshot], None],
) -> None:
    """As ``share``, with the server that ``config`` names, which is noted in the generation."""
    url = normalised(config.chroma_url)
    with open_server(url) as server:
        have = before.snapshot if before else None
        state = share(server, entries, stamps, ef_search(config.pool), have, make, keep)
    place = generations.current(folder)
    if place is not None:
        write_shared(place, Shared(url=url, state=state))


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

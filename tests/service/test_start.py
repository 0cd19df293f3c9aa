"""A service that could not change products says so when it is started, not at the first PUT."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ameli_llm.linker import Linker
from ameli_llm.seal import SEAL, seal
from retrieval.generation_files import MANIFEST
from retrieval.generations import LOCK, current
from retrieval.manifest import read_manifest, write_manifest
from tests.command import command
from tests.service.conftest import CHEAP
from tests.service.process import served

SETTINGS = [word for setting in CHEAP for word in ("--set", setting)]


@pytest.fixture
def index(shop: Path, tmp_path: Path) -> Path:
    """An index of the shop in a folder of its own."""
    folder = tmp_path / "index"
    Linker.open(shop, settings=CHEAP, index=folder).close()
    return folder


def make_of_another_revision(index: Path) -> str:
    """An image encoder that no link uses is of an older revision now; its name."""
    place = current(index)
    assert place is not None
    manifest = read_manifest(place / MANIFEST)
    first, *others = manifest.image_encoders
    older = first.model_copy(update={"revision": "older"})
    write_manifest(place / MANIFEST, manifest.model_copy(update={"image_encoders": (older, *others)}))
    sealed = [path.name for path in place.iterdir() if path.is_file() and path.name != SEAL]
    seal(place, *sealed)
    return first.name


def test_an_unused_encoder_of_an_older_revision(shop: Path, index: Path, tmp_path: Path) -> None:
    name = make_of_another_revision(index)
    error = command("serve", shop, "--index", index, "--port", 0, *SETTINGS).error
    assert error.startswith("Products could not be changed: The index in ")
    assert f"has image vectors of {name} (revision older), but the encoder at hand is {name} " in error
    assert error.endswith("Type: ameli-llm index DATASET; or serve links alone: --read-only.")
    with served(shop, tmp_path, "--index", index, "--read-only") as running:
        link = httpx.post(f"{running.address}/v1/link", json={"body": "my red one"}, timeout=60)
        put = httpx.put(f"{running.address}/v1/products/W", json={"name": "Acme"}, timeout=60)
    assert (link.status_code, link.json()["candidates"][0]["entity_id"]) == (200, "B1")
    assert put.status_code == 403


def test_an_index_that_cannot_be_written(shop: Path, index: Path) -> None:
    (index / LOCK).unlink(missing_ok=True)
    (index / LOCK).mkdir()
    error = command("serve", shop, "--index", index, "--port", 0, *SETTINGS).error
    assert error.startswith(f"Products could not be changed: Cannot write an index to {index}: ")
    assert error.endswith(" Or serve links alone: --read-only.")

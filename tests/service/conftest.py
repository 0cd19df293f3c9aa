"""A tiny shop with photos, a service over it without a model, and clients of it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from ameli_llm.dataset.load import load_dataset
from ameli_llm.linker import Linker
from ameli_llm.service.access import Access
from ameli_llm.service.app import make_app
from ameli_llm.service.journal import Journal
from ameli_llm.service.limits import Limits
from ameli_llm.service.service import Service
from tests.shared_setup import cache_of, made_once

CHEAP = ("retrieval.weights={title: 5.0, tfidf: 8.0}", "attributes.extractors=[rules]")
COLOURS = {"B1": "Red", 2: "Blue", "B/3": "Green", "B4": "Black"}
HERE = "http://127.0.0.1:8000"


def picture(width: int = 8, height: int = 8) -> bytes:
    """A small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session", autouse=True)
def _cache(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder, with the index of the shop in it."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, folder / "cache")))
            Linker.open(shop, settings=CHEAP).close()

    made = made_once(tmp_path_factory, "shop-index", make)
    cache = cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))
    shutil.copytree(made / "cache" / "index", cache / "index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(cache))
        yield cache


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of four blenders, without splits; one has the number 2 as its id. For reading."""
    return made_once(tmp_path_factory, "shop-of-blenders", write_shop) / "shop"


def write_shop(folder: Path) -> None:
    root = folder / "shop"
    (root / "product_images").mkdir(parents=True)
    records = [
        {
            "id": id_,
            "product_name": f"Acme blender {colour.lower()}",
            "product_category": "Kitchen -> Blenders",
            "Spec": [{"subsection": "General", "text": [{"specification": "Color", "value": colour}]}],
        }
        for id_, colour in COLOURS.items()
    ]
    (root / "products.json").write_text(json.dumps(records), encoding="utf-8")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, a link in it that leads out, and a file beside it."""
    folder = tmp_path_factory.mktemp("images") / "photos"
    (folder / "77").mkdir(parents=True)
    (folder / "77" / "front.png").write_bytes(picture())
    (folder / "cut.png").write_bytes(picture(64, 64)[:60])
    (folder.parent / "secret.png").write_bytes(picture())
    (folder / "out.png").symlink_to(folder.parent / "secret.png")
    return folder


@pytest.fixture(scope="module")
def serving(shop: Path, photos: Path) -> Iterator[Callable[..., TestClient]]:
    """serving(token=..., changes=FILE, limits=..., linker=...): a client of a service over the shop."""
    with ExitStack() as stack:

        def start(
            *,
            token: str = "",
            changes: Path | None = None,
            read_only: bool = False,
            limits: Limits | None = None,
            linker: Any = None,
            log_texts: bool = False,
            raises: bool = True,
        ) -> TestClient:
            journal = stack.enter_context(Journal.open(changes)) if changes else None
            dataset = load_dataset(shop)
            if journal is not None:
                dataset = dataset.with_products(journal.applied(dataset.products))
            linker = linker or Linker.open(dataset, settings=CHEAP)
            service = Service(
                linker,
                journal=journal,
                read_only=read_only,
                images=photos,
                limits=limits,
                log_texts=log_texts,
            )
            app = make_app(service, Access(token))
            client = TestClient(app, base_url=HERE, raise_server_exceptions=raises)
            return stack.enter_context(client)

        yield start


@pytest.fixture(scope="module")
def client(serving: Callable[..., TestClient], tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A service whose products can be changed; tests leave the four as they are."""
    return serving(changes=tmp_path_factory.mktemp("changes") / "changes.jsonl")

"""A knowledge base of six products with drawn images, and an index of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from ameli_llm.config import RetrievalConfig
from ameli_llm.dataset.load import Dataset, load_dataset
from retrieval.building import build_index
from retrieval.index import Index, read_index
from tests.retrieval.tiny_sbert import tiny_sbert
from tests.shared_setup import made_once

PRODUCTS = [
    (10, "Acme - Breeze 300 Blender - Red", "Blenders", "A compact blender for smoothies.", "red", 2),
    (20, "Acme - Breeze 300 Blender - Blue", "Blenders", "A compact blender for smoothies.", "blue", 1),
    (30, "Nord - WH-1000XM4 Wireless Headphones - Black", "Headphones", "Quiet headphones.", "black", 1),
    (40, "Nord - WF-500 Earbuds - White", "Headphones", "Small earbuds.", "gray", 0),
    (50, "Orbit - 4TB Portable Hard Drive - Green", "Hard Drives", "Stores your files.", "green", 1),
    (60, "Orbit - 1TB Portable Hard Drive - Green", "Hard Drives", "Stores your files.", "green", 0),
]
REVIEWS = [
    (1, "Great blender", "My red Acme blender is quiet.", "Acme blender", ["r1.png"], 10),
    (2, "Long battery", "The WH1000XM4 headphones block all noise.", "headphones", [], 30),
    (3, "Too small", "I filled the 4 TB drive in a month.", "hard drive", ["gone.png"], 50),
    (4, "Nice gadget", "It works.", "gizmo", [], 40),
]


def draw(path: Path, colour: str, shape: str = "ellipse", size: int = 64) -> None:
    """A coloured shape on white."""
    image = Image.new("RGB", (size, size), "white")
    getattr(ImageDraw.Draw(image), shape)((size // 6, size // 5, size - size // 6, size - 8), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def product_record(
    id_: int, name: str, leaf: str, text: str, images: list[str], capacity: str = ""
) -> dict[str, Any]:
    rows = [{"specification": "Capacity", "value": capacity}] if capacity else []
    return {
        "id": id_,
        "product_name": name,
        "product_category": f"Shop -> {leaf}",
        "overview_section": {"description": text, "features": []},
        "Spec": [{"subsection": "Key Specs", "text": rows}],
        "image_path": images,
    }


def write_products(root: Path, records: list[dict[str, Any]]) -> None:
    (root / "products.json").write_text(json.dumps(records), encoding="utf-8")


class Workshop:
    """Changes the dataset folder ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def draw(self, name: str, colour: str, shape: str = "ellipse") -> None:
        draw(self.root / "product_images" / name, colour, shape)

    def record(self, *args: Any) -> dict[str, Any]:
        return product_record(*args)

    def dataset(self, records: list[dict[str, Any]]) -> Dataset:
        """The dataset with these products instead of those it had."""
        write_products(self.root, records)
        return load_dataset(self.root)


@pytest.fixture
def workshop(root: Path) -> Workshop:
    return Workshop(root)


@pytest.fixture
def records() -> list[dict[str, Any]]:
    """The six product records."""
    return [
        product_record(id_, name, leaf, text, [f"{id_}-{n}.png" for n in range(count)])
        for id_, name, leaf, text, _, count in PRODUCTS
    ]


@pytest.fixture
def root(tmp_path: Path, records: list[dict[str, Any]]) -> Path:
    """The dataset folder."""
    folder = tmp_path / "kb"
    for id_, _, _, _, colour, count in PRODUCTS:
        for number in range(count):
            shape = "rectangle" if number else "ellipse"
            draw(folder / "product_images" / f"{id_}-{number}.png", colour, shape)
    draw(folder / "review_images" / "r1.png", "red", "rectangle", 80)
    write_products(folder, records)
    reviews = [
        {
            "review_id": id_,
            "header": header,
            "body": body,
            "mention": mention,
            "review_image_path": images,
            "gold_entity_info": {"id": gold, "product_name": "", "product_category": ""},
        }
        for id_, header, body, mention, images, gold in REVIEWS
    ]
    (folder / "dev").mkdir()
    (folder / "dev" / "reviews.json").write_text(json.dumps(reviews), encoding="utf-8")
    return folder


@pytest.fixture
def dataset(root: Path) -> Dataset:
    return load_dataset(root)


@pytest.fixture(scope="session")
def text_model() -> str:
    """The text model of ``config``: the packaged one; a file that does without may say another."""
    return ""


@pytest.fixture(scope="session")
def tiny_text_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of one that is loaded in milliseconds; the packaged one takes half a second each time."""
    return str(tiny_sbert(tmp_path_factory))


@pytest.fixture
def config(text_model: str) -> RetrievalConfig:
    weights = {"bm25": 1.0, "sbert": 1.0, "title": 1.0, "image": 1.0}
    return RetrievalConfig(pool=10, weights=weights, image_encoders=("descriptor",), text_model=text_model)


@pytest.fixture
def indexed(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """indexed(config, place): the folder ``place`` with an index of ``dataset``, free to be damaged."""

    def copy(config: RetrievalConfig, place: Path) -> Path:
        content = hashlib.sha256(f"{dataset.digest} {config.model_dump_json()}".encode()).hexdigest()
        name = f"index-{content[:16]}"
        built = made_once(tmp_path_factory, name, lambda empty: build_index(dataset, empty, config))
        return Path(shutil.copytree(built, place))

    return copy


@pytest.fixture
def folder(indexed: Callable[..., Path], config: RetrievalConfig, tmp_path: Path) -> Path:
    """A folder with an index of ``dataset``, free to be damaged."""
    return indexed(config, tmp_path / "index")


@pytest.fixture
def index(folder: Path) -> Index:
    return read_index(folder)


@pytest.fixture(scope="session")
def loaded() -> dict[str, Any]:
    """The encoders that ``index_with_encoders`` has loaded, by text model."""
    return {}


@pytest.fixture
def index_with_encoders(folder: Path, loaded: dict[str, Any]) -> Index:
    """An index of its own whose encoders are loaded once, for tests that change neither model nor index."""
    index = read_index(folder)
    model = index.manifest.text.model
    if model not in loaded:
        loaded[model] = index.text_encoder, index.image_encoder()
    text_encoder, index.loaded_image_encoders["descriptor"] = loaded[model]
    vars(index).update(text_encoder=text_encoder)
    return index


@pytest.fixture
def count_encoded() -> Callable[..., dict[str, int]]:
    """Builds an index and says how many texts and images were encoded."""

    def build(dataset: Dataset, folder: Path, config: RetrievalConfig) -> dict[str, int]:
        encoded: dict[str, int] = {}
        build_index(dataset, folder, config, lambda stage, done, total: encoded.update({stage: total}))
        return encoded

    return build

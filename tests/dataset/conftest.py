from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.types import Product, SpecRow

Record = dict[str, Any]


@pytest.fixture
def product_record() -> Callable[..., Record]:
    def make(id: Any = 1, **fields: Any) -> Record:
        record: Record = {
            "id": id,
            "product_name": f"Acme - Breeze {id} - Red",
            "product_category": "Best Buy -> Kitchen -> Blenders",
            "overview_section": {"description": "A blender."},
            "Spec": [
                {"subsection": "General", "text": [{"specification": "Color", "value": "Red"}]},
            ],
            "image_path": [],
        }
        return record | fields

    return make


@pytest.fixture
def review_record() -> Callable[..., Record]:
    def make(review_id: Any = 7, **fields: Any) -> Record:
        record: Record = {
            "review_id": review_id,
            "header": "Great",
            "body": "My red blender is quiet.",
            "mention": "blender",
            "review_image_path": [],
            "gold_entity_info": {"id": 1, "product_name": "Acme - Breeze 1 - Red"},
        }
        return record | fields

    return make


@pytest.fixture
def write_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Writes products.json and, for each keyword, SPLIT/reviews.json; text is written as it is."""

    def write(products: Any, **splits: Any) -> Path:
        root = tmp_path / "set"
        files = {"products.json": products} | {f"{name}/reviews.json": r for name, r in splits.items()}
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return root

    return write


@pytest.fixture
def make_product() -> Callable[..., Product]:
    """A product from its name and (section, key, value) rows."""

    def make(name: str, *rows: tuple[str, str, str]) -> Product:
        return Product(id=1, name=name, spec=tuple(SpecRow(*row) for row in rows))

    return make

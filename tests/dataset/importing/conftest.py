from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.dataset.importing.losses import Losses
from ameli_llm.dataset.importing.plan import Plan, plan_import
from ameli_llm.dataset.importing.run import Imported, import_dataset
from ameli_llm.dataset.importing.tables import open_table


class Folder:
    """A folder of tables: writes them, imports them, and shows what came out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root.parent / f"{root.name}-dataset"

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def image(self, name: str, colour: str = "red") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(path)
        return path

    def plan(self, *names: str, **options: Any) -> Plan:
        for kind in ("products", "reviews"):
            options[kind] = [self.root / name for name in options.get(kind, ())]
        return plan_import([self.root / name for name in names], **options)

    def load(
        self, *names: str, images: Path | None = None, outside_is_nil: bool = False, **options: Any
    ) -> Imported:
        return import_dataset(
            self.plan(*names, **options), self.out, images=images, outside_is_nil=outside_is_nil
        )

    def products(self) -> list[dict[str, Any]]:
        return self._records("products.json")

    def reviews(self, split: str = "test") -> list[dict[str, Any]]:
        return self._records(f"{split}/reviews.json")

    def _records(self, name: str) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = json.loads((self.out / name).read_text("utf-8"))
        return records

    def losses(self, imported: Imported) -> dict[str, int]:
        return {f"{loss.what} {loss.reason}": loss.count for loss in imported.losses}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    root = tmp_path / "shop"
    root.mkdir()
    return Folder(root)


Rows = tuple[list[dict[str, Any]], dict[str, int]]


@pytest.fixture
def rows(folder: Folder) -> Callable[..., Rows]:
    """rows(name, content): the rows of a file and what was left out of it."""

    def read(name: str, content: str | bytes, encoding: str = "utf-8") -> Rows:
        losses = Losses()
        table = open_table(folder.write(name, content), encoding)
        found = [row.values for row in table.rows(losses)]
        return found, {loss.reason: loss.count for loss in losses.all()}

    return read

"""Layout "plain": products.json, and reviews.json in a folder a split."""

from __future__ import annotations

from pathlib import Path

from ameli_llm.dataset.readers.reader import SPLITS, Reader


class PlainReader(Reader):
    """The layout of docs/datasets.md."""

    named = "products.json"

    def product_files(self) -> list[Path]:
        """products.json."""
        return _present(self.root / "products.json")

    def review_files(self, split: str) -> list[Path]:
        """reviews.json of the split's folder."""
        return [file for name in SPLITS[split] for file in _present(self.root / name / "reviews.json")]


def create(root: Path) -> PlainReader:
    """The plain layout of the folder ``root``."""
    return PlainReader(root)


def _present(path: Path) -> list[Path]:
    return [path] if path.is_file() else []

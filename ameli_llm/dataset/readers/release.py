"""Layout "release": the file names of the AMELI release, and of the stages of its pipeline."""

from __future__ import annotations

from pathlib import Path

from ameli_llm.dataset.readers.reader import SPLITS, Reader

_STAGES = frozenset({"retrieval", "attribute", "disambiguation"})


class ReleaseReader(Reader):
    """The layout of the AMELI release.

    Files of the pipeline's stages come after base files, then shallow before deep, then by name.
    """

    named = "bestbuy_products*final_format*.json"

    def product_files(self) -> list[Path]:
        """bestbuy_products*final_format*.json, at any depth."""
        return _ordered(self.root, self.named)

    def review_files(self, split: str) -> list[Path]:
        """bestbuy_review*.json in the split's folder, at any depth."""
        for folder in (self.root / name for name in SPLITS[split]):
            if files := _ordered(folder, "bestbuy_review*.json"):
                return files
        return []


def create(root: Path) -> ReleaseReader:
    """The release's layout of the folder ``root``."""
    return ReleaseReader(root)


def _ordered(folder: Path, pattern: str) -> list[Path]:
    def order(path: Path) -> tuple[bool, int, str]:
        inside = path.relative_to(folder)
        return bool(_STAGES & set(inside.parts)), len(inside.parts), inside.as_posix()

    return sorted((path for path in folder.rglob(pattern) if path.is_file()), key=order)

"""Where the picture of a name lies: in the folders of a dataset, or where the caller's own products say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

PRODUCT_FOLDERS = ("product_images",)
REVIEW_FOLDERS = ("cleaned_review_images", "review_images")
"""Folders of review images, the one to look in first: cleaned crops go before the originals."""

_MAX_NAME_BYTES = 255


class ImageFiles(Protocol):
    """Finds the files of a dataset's image names; None when there is no such file."""

    def product(self, name: str) -> Path | None:
        """The file of a product image."""

    def review(self, name: str) -> Path | None:
        """The file of a review image."""


class DatasetImages:
    """Images of a dataset folder, whose records are untrusted: bare file names in its own folders only.

    Only a review that was not read from a file can have an absolute path, which is taken as it is.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def product(self, name: str) -> Path | None:
        """The file in product_images/."""
        return self._inside(name, PRODUCT_FOLDERS)

    def review(self, name: str) -> Path | None:
        """The file in cleaned_review_images/ if there is one, else in review_images/."""
        return named_file(Path(name)) if os.path.isabs(name) else self._inside(name, REVIEW_FOLDERS)

    def _inside(self, name: str, folders: tuple[str, ...]) -> Path | None:
        if not is_image_name(name):
            return None
        home = self._root.resolve()
        for folder in folders:
            path = self._root / folder / name
            # A link that leads out of the dataset could name any file of the reader's machine.
            if os.path.isfile(path) and path.resolve().is_relative_to(home):
                return path
        return None


class OwnImages:
    """Images of products that a program made itself: paths, relative to ``base``."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def product(self, name: str) -> Path | None:
        """The file that the path names."""
        return named_file(self._base / name)

    def review(self, name: str) -> Path | None:
        """The file that the path names."""
        return named_file(self._base / name)


def named_file(path: Path) -> Path | None:
    """The path if there is a file."""
    return path if os.path.isfile(path) else None


def is_image_name(name: str) -> bool:
    """Whether ``name`` is a bare file name: no path separator, not "..", not empty, at most 255 bytes."""
    if not name.strip() or name in {".", ".."} or set(name) & set("/\\\x00"):
        return False
    return len(name.encode("utf-8", "surrogatepass")) <= _MAX_NAME_BYTES

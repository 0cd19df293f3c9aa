"""Photos of reviews and products as small pictures inside the report, re-encoded and without metadata."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.image_files import is_image_name
from ameli_llm.dataset.images import ImageProblem, thumbnail
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId
from ameli_llm.runs import RunFolder

SIDE = 128
"""Pixels of the longer side."""

QUALITY = 55

MOST = 6000
"""Pictures of a report."""

MOST_BYTES = 7 << 20
"""Bytes of all pictures before base64, which makes a third more of them."""

OF_A_REVIEW = 3
"""Photos of one review that are shown."""


class Photos:
    """Collects the pictures of a report; each file is read once. Without a dataset it has none.

    ``content`` is their WebP data in base64, by the numbers that ``review`` and ``product`` give.
    """

    def __init__(self, dataset: Dataset | None, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self.content: list[str] = []
        self._dataset = dataset
        self._most, self._bytes_left = most, most_bytes
        self._known: dict[Path, int | None] = {}
        self._unreadable = self._left_out = 0

    def review(self, names: Sequence[object]) -> tuple[int, ...]:
        """The photos of a review. ``names`` come from the run folder: only files of the dataset are shown."""
        if self._dataset is None:
            return ()
        names_of_files = [name for name in names if isinstance(name, str) and is_image_name(name)]
        paths = (self._dataset.review_image(name) for name in names_of_files[:OF_A_REVIEW])
        return tuple(self._numbers(paths))

    def product(self, product: EntityId) -> int | None:
        """The first photo of a product that can be read."""
        known = self._dataset.products.get(product) if self._dataset else None
        if self._dataset is None or known is None:
            return None
        return next(
            self._numbers(self._dataset.product_image(name) for name in known.images[:OF_A_REVIEW]), None
        )

    def __str__(self) -> str:
        if self._dataset is None:
            return "No photos: they are shown when the report is written with --dataset."
        parts = [f"{len(self.content):,} photos"]
        if self._unreadable:
            parts.append(f"{self._unreadable:,} cannot be read")
        if self._left_out:
            parts.append(f"{self._left_out:,} left out to keep the file small")
        return "; ".join(parts) + "."

    def _numbers(self, paths: Iterable[Path | None]) -> Iterator[int]:
        for path in paths:
            number = self._number(path) if path else None
            if number is not None:
                yield number

    def _number(self, path: Path) -> int | None:
        if path not in self._known:
            self._known[path] = self._add(path)
        return self._known[path]

    def _add(self, path: Path) -> int | None:
        if len(self.content) == self._most or self._bytes_left <= 0:
            self._left_out += 1
            return None
        try:
            data = thumbnail(path, SIDE, QUALITY)
        except ImageProblem:
            self._unreadable += 1
            return None
        self._bytes_left -= len(data)
        self.content.append(base64.b64encode(data).decode("ascii"))
        return len(self.content) - 1


def dataset_of(folder: Path, run: RunFolder) -> Dataset:
    """The dataset at ``folder``. Raises AmeliError when its products are not those that the run linked to."""
    dataset = load_dataset(folder)
    spec = run.manifest().get("spec")
    made_of = spec.get("dataset") if isinstance(spec, dict) else None
    wanted = made_of.get("products") if isinstance(made_of, dict) else None
    if isinstance(wanted, str) and wanted != dataset.digest:
        raise AmeliError(
            f"{folder} is not the dataset of {run.path}: its products are others.",
            hint="--dataset takes the folder that was linked; without it, the report has no photos.",
        )
    return dataset

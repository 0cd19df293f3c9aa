"""Rule "readable_images": images that are broken or too small are left out (paper, section 3.2, rule 5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from ameli_llm.dataset.construction.raw import RawReview, Record
from ameli_llm.dataset.construction.rules.rule import Folders, Rule, RuleSettings
from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.pictures import Pictures
from ameli_llm.dataset.importing.records import Note

STAGE: Literal["images"] = "images"
NUMBER = 5

_NOWHERE = Path("nowhere")


class Settings(RuleSettings):
    """``smallest_kb``: least size of a file in 1,000 bytes; the paper has none, the released scripts 20.

    ``smallest_side``: least width and height in pixels. ``products``: those of products too.
    """

    smallest_kb: float = Field(0, ge=0)
    smallest_side: int = Field(0, ge=0)
    products: bool = True


class _ReadableImages(Rule):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._products = Pictures(_NOWHERE, ("", "product_images"))
        self._reviews = Pictures(_NOWHERE, ("", "review_images"))

    def product(self, record: Record, folders: Folders, note: Note) -> Record:
        if not self._settings.products or not record.get("image_path"):
            return record
        return record | {"image_path": self._good(self._products, record["image_path"], folders, note)}

    def review(self, review: RawReview, folders: Folders, note: Note) -> RawReview:
        return review.having(review_image_path=self._good(self._reviews, review.images, folders, note))

    def _good(self, pictures: Pictures, paths: Sequence[str], folders: Folders, note: Note) -> list[str]:
        good = []
        for path in dict.fromkeys(paths):
            try:
                self._check(pictures.find(path, folders))
            except LeftOutError as reason:
                note("image", str(reason))
                continue
            good.append(path)
        if not good and paths:
            raise LeftOutError("has no image that can be used")
        return good

    def _check(self, file: Path) -> None:
        if file.stat().st_size < 1000 * self._settings.smallest_kb:
            raise LeftOutError(f"has less than {self._settings.smallest_kb:g} KB")
        try:
            width, height = open_image(file).size
        except ImageProblem as problem:
            raise LeftOutError(f"is {problem.reason.replace('_', ' ')}") from None
        if min(width, height) < self._settings.smallest_side:
            raise LeftOutError(f"is less than {self._settings.smallest_side} pixels wide or high")


def create(settings: Settings) -> Rule:
    """The rule: every file is decoded whole; a review or product that loses all its images is dropped."""
    return _ReadableImages(settings)

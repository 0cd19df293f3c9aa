"""Rule "no_images": products and reviews that name no image are dropped (paper, section 3.2, rule 1)."""

from __future__ import annotations

from typing import Literal

from ameli_llm.dataset.construction.raw import RawReview, Record
from ameli_llm.dataset.construction.rules.rule import Folders, Rule, RuleSettings
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.records import Note

STAGE: Literal["text"] = "text"
NUMBER = 1


class Settings(RuleSettings):
    """``products``, ``reviews``: whether the rule is for them."""

    products: bool = True
    reviews: bool = True


class _NoImages(Rule):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def product(self, record: Record, folders: Folders, note: Note) -> Record:
        if self._settings.products and not record.get("image_path"):
            raise LeftOutError("names no image")
        return record

    def review(self, review: RawReview, folders: Folders, note: Note) -> RawReview:
        if self._settings.reviews and not review.images:
            raise LeftOutError("names no image")
        return review


def create(settings: Settings) -> Rule:
    """The rule; files are opened by the rule "readable_images"."""
    return _NoImages(settings)

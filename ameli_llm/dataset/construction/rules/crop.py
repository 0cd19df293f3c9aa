"""Rule "crop": the mentioned object is cut out of each review photo (paper, section 3.2, rule 7)."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Literal

from PIL.Image import Image
from pydantic import Field

from ameli_llm.dataset.construction.croppers import OFF, open_cropper
from ameli_llm.dataset.construction.croppers.cropper import Box
from ameli_llm.dataset.construction.knowledge import KnowledgeBase
from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.rules.rule import Folders, Rule, RuleSettings
from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.pictures import Pictures
from ameli_llm.dataset.importing.records import Note
from ameli_llm.errors import AmeliError
from ameli_llm.files import make_folder

STAGE: Literal["crop"] = "crop"
NUMBER = 7

QUALITY = 92
"""Of the crops that are JPEG files."""


class Settings(RuleSettings):
    """``cropper``: NAME or NAME:MODEL, or none. ``not_found``: what becomes of a photo without the object.

    The prompt is the mention. ``leak_gold_title`` prompts with the title of the gold product instead, as the
    released scripts do for train: the crop then knows what the linker is to find.
    """

    cropper: str = OFF
    not_found: Literal["drop", "keep"] = "drop"
    margin: float = Field(0.02, ge=0, le=0.5)
    leak_gold_title: bool = False


def crop_file(crops: Path, position: int, path: str) -> Path:
    """Where the crop of a review's photo lies until the dataset is written."""
    digest = hashlib.blake2b(path.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return crops / f"{position}-{digest}{Path(path).suffix.lower()[:10]}"


class _Crop(Rule):
    def __init__(self, settings: Settings, knowledge: KnowledgeBase, crops: Path) -> None:
        self._settings = settings
        self._knowledge = knowledge
        self._crops = crops
        self._cropper = open_cropper(settings.cropper)
        self._pictures = Pictures(crops, ("", "review_images"))

    @property
    def idle(self) -> bool:
        return self._cropper is None

    def review(self, review: RawReview, folders: Folders, note: Note) -> RawReview:
        if self._cropper is None or not review.images:
            return review
        prompt, kept = self._prompt(review), []
        for path in review.images:
            try:
                photo = open_image(self._pictures.find(path, folders))
            except (ImageProblem, LeftOutError) as problem:
                raise LeftOutError("has a photo that has changed while the dataset was built") from problem
            box = self._cropper.box(photo, prompt)
            if box is None:
                note("image", "shows no object that the cropper finds")
                if self._settings.not_found == "drop":
                    continue
            else:
                cut = photo.crop(_widened(box, photo.size, self._settings.margin))
                _save(cut, crop_file(self._crops, review.position, path))
            kept.append(path)
        if not kept:
            raise LeftOutError("has no photo that shows its object")
        return review.having(review_image_path=kept)

    def _prompt(self, review: RawReview) -> str:
        row = self._knowledge.row(review.product) if self._settings.leak_gold_title else None
        return str(review.record["mention"]) if row is None else self._knowledge.product(row).name


def create(settings: Settings, knowledge: KnowledgeBase, crops: Path) -> Rule:
    """The rule; crops go to the folder ``crops``. Raises AmeliError when the cropper cannot be opened."""
    return _Crop(settings, knowledge, crops)


def _widened(box: Box, size: tuple[int, int], margin: float) -> tuple[int, int, int, int]:
    """The box in whole pixels, wider by a share of its sides, within the picture."""
    (left, top, right, bottom), (width, height) = box, size
    across, down = margin * (right - left), margin * (bottom - top)
    return (
        max(0, math.floor(left - across)),
        max(0, math.floor(top - down)),
        min(width, max(math.ceil(right + across), 1)),
        min(height, max(math.ceil(bottom + down), 1)),
    )


def _save(image: Image, path: Path) -> None:
    """Writes the crop in the format that its name says, JPEG where it says none. Raises AmeliError."""
    kind = {".png": "PNG", ".webp": "WEBP"}.get(path.suffix, "JPEG")
    make_folder(path.parent)
    try:
        image.save(path, kind, quality=QUALITY)
    except OSError as error:
        raise AmeliError(f"Cannot write the crop {path}: {error.strerror or error}.") from error

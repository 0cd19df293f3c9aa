"""Extractor "ocr": values of the candidates that are printed on what the review's pictures show.

As the paper does it (AMELI v1, section 4.2): strings longer than one character that are recognised
with a confidence above 0.5, matched against the candidates' values. Confidence and box stay in the evidence.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ameli_llm.attributes._readers import EngineName, ImageTexts, TextBox, load_reader
from ameli_llm.attributes.extractor import Extraction, ExtractionTask, Extractor
from ameli_llm.attributes.matching.choice import choose
from ameli_llm.attributes.matching.find import find_values
from ameli_llm.attributes.matching.negation import Context
from ameli_llm.attributes.matching.vocabulary import Lookup, arrange
from ameli_llm.attributes.values.normalise import NormalisedValue
from ameli_llm.dataset.images import ImageProblem
from ameli_llm.errors import AmeliError
from ameli_llm.types import AttributeValue, Evidence, Review

logger = logging.getLogger(__name__)

MIN_CONFIDENCE = 0.5
MIN_LENGTH = 2
OFFICIAL_ROTATIONS = (90, 180, 270)


def create(
    image_path: Callable[[str], Path | None],
    ocr_engine: EngineName = "rapidocr",
    ocr_model: str = "",
    cache_dir: Path | None = None,
    rotations: Sequence[int] = OFFICIAL_ROTATIONS,
) -> Extractor:
    """The extractor; the OCR library is loaded by the first image that is not in the cache's folder.

    ``image_path`` finds a review image by its bare name. ``ocr_model`` is easyocr's folder, and ``rotations``
    are the degrees that easyocr tries.
    """
    texts = ImageTexts(lambda: load_reader(ocr_engine, ocr_model, rotations), cache_dir)
    return OcrExtractor(image_path, texts)


class OcrExtractor:
    """Reads the review's own images, never a product's. May be used by several threads."""

    name = "ocr"

    def __init__(self, image_path: Callable[[str], Path | None], texts: ImageTexts) -> None:
        self._image_path = image_path
        self._texts = texts

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        """Each value once, with its surest reading as evidence.

        Dropped by reason: "image_missing", "image_truncated" and so on (``dataset.images``), "ocr_failed",
        "low_confidence", and the reasons of the rules extractor. Raises MissingDependencyError when the OCR
        library cannot be used at all.
        """
        return [self._one(task) for task in tasks]

    def _one(self, task: ExtractionTask) -> Extraction:
        dropped: Counter[str] = Counter()
        lookup = arrange(task.vocabulary)
        surest: dict[tuple[str, NormalisedValue], AttributeValue] = {}
        for image in dict.fromkeys(task.review.images):
            for box in self._boxes(image, task.review, dropped):
                for value, normal in _values(box, image, lookup, dropped):
                    known = surest.get((value.key, normal))
                    if known is None or box.confidence > (known.evidence.confidence or 0.0):
                        surest[value.key, normal] = value
        return Extraction(tuple(surest.values()), dict(sorted(dropped.items())))

    def _boxes(self, image: str, review: Review, dropped: Counter[str]) -> list[TextBox]:
        path = self._image_path(image)
        if path is None:
            dropped["image_missing"] += 1
            return []
        try:
            return self._texts.read(path)
        except ImageProblem as problem:
            dropped[f"image_{problem.reason}"] += 1
        except AmeliError:
            raise
        except Exception as error:  # the libraries raise many types on odd pictures
            logger.warning("OCR failed on image %s of review %s: %s", image, review.id, error)
            dropped["ocr_failed"] += 1
        return []


def _values(
    box: TextBox, image: str, lookup: Lookup, dropped: Counter[str]
) -> Iterator[tuple[AttributeValue, NormalisedValue]]:
    text = box.text
    if len(text.strip()) < MIN_LENGTH:
        return
    if box.confidence <= MIN_CONFIDENCE:
        dropped["low_confidence"] += 1
        return
    matches = find_values(text, lookup)
    context = Context(text) if matches else None
    for match in matches:
        entries, reason = choose(match, text, context or Context(text))
        if reason:
            dropped[reason] += 1
        written = text[match.start : match.end]
        where = Evidence("image", match.start, match.end, written, image, box.box, box.confidence)
        for entry in entries:
            yield AttributeValue(entry.key, entry.value, "ocr", where), entry.normal

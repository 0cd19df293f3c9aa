"""Extractor "ocr": values of the candidates that are printed on what the review's pictures show.

As the paper does it (AMELI v1, section 4.2): strings longer than one character that are recognised
with a confidence above 0.5, matched against the candidates' values. Confidence and box stay in the evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from ameli_llm.attributes._readers import EngineName, ImageTexts, Reading, TextBox, load_reader
from ameli_llm.attributes.extractor import Extraction, ExtractionTask, Extractor
from ameli_llm.attributes.matching.choice import choose
from ameli_llm.attributes.matching.find import find_values
from ameli_llm.attributes.matching.negation import Context
from ameli_llm.attributes.matching.vocabulary import Lookup, arrange
from ameli_llm.attributes.values.normalise import NormalisedValue
from ameli_llm.types import AttributeValue, Evidence

MIN_CONFIDENCE = 0.5
MIN_LENGTH = 2
OFFICIAL_ROTATIONS = (90, 180, 270)
_MISSING = Reading(problem="image_missing")


def create(
    image_path: Callable[[str], Path | None],
    ocr_engine: EngineName = "rapidocr",
    ocr_model: str = "",
    cache_dir: Path | None = None,
    rotations: Sequence[int] = OFFICIAL_ROTATIONS,
    ocr_enlarge: float = 2.0,
) -> Extractor:
    """The extractor; rapidocr's models are loaded by the first image that is not in the cache's folder.

    ``image_path`` finds a review image by its bare name. ``ocr_model`` is easyocr's folder, and ``rotations``
    are the degrees that easyocr tries. ``ocr_enlarge`` is how many times at most rapidocr enlarges a
    small photo before it looks for text.
    """
    texts = ImageTexts(lambda: load_reader(ocr_engine, ocr_model, rotations, ocr_enlarge), cache_dir)
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
        "low_confidence", and the reasons of the rules extractor. The images of a review whose candidates have
        no value that a text could state are not opened. Raises MissingDependencyError when the OCR library
        cannot be used at all.
        """
        lookups = [arrange(task.vocabulary) for task in tasks]
        names = [
            tuple(dict.fromkeys(task.review.images)) if _is_readable(lookup) else ()
            for task, lookup in zip(tasks, lookups, strict=True)
        ]
        found = {name: self._image_path(name) for name in dict.fromkeys(chain.from_iterable(names))}
        readings = self._texts.read(path for path in found.values() if path is not None)
        by_name = {name: _MISSING if path is None else readings[path] for name, path in found.items()}
        return [
            _extraction({name: by_name[name] for name in images}, lookup)
            for images, lookup in zip(names, lookups, strict=True)
        ]


def _is_readable(lookup: Lookup) -> bool:
    """Whether there is any value that a text could state."""
    return bool(lookup.quantities or lookup.colours or lookup.words)


def _extraction(readings: Mapping[str, Reading], lookup: Lookup) -> Extraction:
    dropped: Counter[str] = Counter()
    surest: dict[tuple[str, NormalisedValue], AttributeValue] = {}
    for image, reading in readings.items():
        if reading.problem:
            dropped[reading.problem] += 1
        for box in reading.boxes:
            for value, normal in _values(box, image, lookup, dropped):
                known = surest.get((value.key, normal))
                if known is None or box.confidence > (known.evidence.confidence or 0.0):
                    surest[value.key, normal] = value
    return Extraction(tuple(surest.values()), dict(sorted(dropped.items())))


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

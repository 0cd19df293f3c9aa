"""Trained taggers as extractors: free spans of a review, of which those in the vocabulary are its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ameli_llm.attributes.extractor import Extraction, ExtractionTask
from ameli_llm.attributes.matching.negation import Context
from ameli_llm.attributes.tagging.examples import LabelledText, Span
from ameli_llm.attributes.tagging.tags import Said, placed
from ameli_llm.attributes.values.normalise import NormalisedValue, alternatives, is_ignored, normalise
from ameli_llm.attributes.values.tokens import MAX_CHARS
from ameli_llm.errors import AmeliError
from ameli_llm.templates.text import one_line
from ameli_llm.types import AttributeValue, Evidence, Review, Vocabulary

if TYPE_CHECKING:
    from ameli_llm.attributes.tagging.pictures import Pictures
    from ameli_llm.attributes.tagging.trained import Trained
    from ameli_llm.attributes.tagging.words import Words

FIELDS = ("header", "body", "mention")

Lookup = dict[str, tuple[str, dict[NormalisedValue, str]]]
"""Attribute, folded: its key as written, and its values by their normal form."""


@dataclass
class TaggerExtractor:
    """Tags header, body and mention, in windows that end with sentences, beside the review's first picture.

    Dropped by reason: "unknown_key" (no candidate has the attribute), "unknown_value" (no candidate has the
    value in any spelling), "other_product", "image_missing", "image_truncated" and so on
    (``dataset.images``), "text_cut" (fields longer than 20,000 characters). May be used by several threads.
    ``revision`` tells its weights from others.
    """

    name: str
    revision: str
    load: Callable[[], Trained]
    image_path: Callable[[str], Path | None]
    _trained: Trained | None = None
    _lock: Lock = field(default_factory=Lock)

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        """One extraction a task; each value once, at its first place. The weights are loaded by the first."""
        with self._lock:
            trained = self._trained = self._trained or self._loaded()
            read = [_Reading(task, trained, self.image_path) for task in tasks]
            texts = [text for one in read for text in one.texts]
            words = [cut for one in read for cut in one.words]
            pictures = trained.pictures()
            said = iter(trained.said(texts, words, pictures) if texts else [])
        return [one.extraction(self.name, [next(said) for _ in one.texts], pictures) for one in read]

    def _loaded(self) -> Trained:
        trained = self.load()
        if trained.leaks_gold:
            raise AmeliError(
                f"{trained.description.title} reads the right attributes of a text: no review tells them.",
                hint="Name a folder that was trained without gold.",
            )
        return trained


class _Reading:
    """The windows of one review, and what becomes of what is found in them."""

    def __init__(
        self, task: ExtractionTask, trained: Trained, image_path: Callable[[str], Path | None]
    ) -> None:
        self._review, self._labels = task.review, trained.description.labels
        self._lookup = arranged(task.vocabulary)
        self._dropped: Counter[str] = Counter()
        self._image = self._picture(image_path) if trained.image else None
        self._where: list[tuple[str, Words]] = []
        self.texts: list[LabelledText] = []
        for name in FIELDS:
            text: str = getattr(task.review, name)
            if len(text) > MAX_CHARS:
                self._dropped["text_cut"] += 1
            for words in trained.cutter.pieces(text[:MAX_CHARS]):
                self._where.append((name, words))
                self.texts.append(LabelledText(text[:MAX_CHARS], image=self._image))

    @property
    def words(self) -> list[Words]:
        """The tokens of the windows."""
        return [words for _, words in self._where]

    def extraction(self, source: str, said: Sequence[Said], pictures: Pictures | None) -> Extraction:
        """The values that the candidates have."""
        if self._image and pictures and (problem := pictures.problem(self._image)):
            self._dropped[problem.replace(" ", "_")] += 1
        kept: dict[tuple[str, NormalisedValue, bool], AttributeValue] = {}
        for (name, words), one in zip(self._where, said, strict=True):
            spans = placed(one, words.places, self._labels).spans
            for value, normal in self._values(source, name, spans):
                kept.setdefault((value.key, normal, value.negated), value)
        return Extraction(tuple(kept.values()), dict(sorted(self._dropped.items())))

    def _values(
        self, source: str, name: str, spans: Sequence[Span]
    ) -> Iterator[tuple[AttributeValue, NormalisedValue]]:
        text: str = getattr(self._review, name)
        context = Context(text) if spans and name != "mention" else None
        for span in spans:
            words = text[span.start : span.end]
            key, values = self._lookup.get(_folded(span.attribute), ("", {}))
            normal = normalise(key, words)
            if not key or normal not in values:
                self._dropped["unknown_value" if key else "unknown_key"] += 1
                continue
            standing = context.standing(span.start, span.end) if context else "stated"
            if standing == "other_product":
                self._dropped["other_product"] += 1
                continue
            evidence = Evidence(name, span.start, span.end, words)
            negated = standing == "denied"
            yield AttributeValue(key, values[normal], source, evidence, negated), normal

    def _picture(self, image_path: Callable[[str], Path | None]) -> Path | None:
        """The first picture of the review that is there."""
        review: Review = self._review
        for name in dict.fromkeys(review.images):
            if path := image_path(name):
                return path
            self._dropped["image_missing"] += 1
        return None


def arranged(vocabulary: Vocabulary) -> Lookup:
    """The candidates' keys and values, as a span's attribute and words are looked up among them."""
    found: Lookup = {}
    for key, raw in vocabulary.items():
        _, values = found.setdefault(_folded(key), (key, {}))
        for value in raw:
            for part in alternatives(key, value):
                if not is_ignored(part):
                    values.setdefault(normalise(key, part), part)
    return found


def _folded(key: str) -> str:
    return one_line(key).casefold()

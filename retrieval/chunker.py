"""Noun chunks of titles and category names: spaCy's when it and a pipeline are installed, else by rules."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from typing import Any, Protocol

PIPELINES = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")
LONGEST = 4
"""Words of the longest chunk."""

_SEGMENT = re.compile(r"\s[-–—]\s|[,;:|/&+()\[\]\"]|\s+(?:and|or|with|for|in|of|on|to|by|from|the|a|an)\s+")
_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A noun chunk in lower case: as written, and with its head word in the singular."""

    surface: str
    lemma: str


class Chunker(Protocol):
    """Finds the noun chunks of a short text."""

    @property
    def name(self) -> str:
        """What made the chunks; part of the name under which priors are kept."""

    def chunks(self, text: str) -> list[Chunk]:
        """Chunks in the order of the text; a chunk may occur twice."""

    def lemma(self, mention: str) -> str:
        """The form under which a mention is looked up beside its surface."""


def find_chunker() -> Chunker:
    """spaCy with the largest English pipeline installed, otherwise the rule chunker."""
    if importlib.util.find_spec("spacy") is not None:
        for pipeline in PIPELINES:
            if importlib.util.find_spec(pipeline) is not None:
                return SpacyChunker(pipeline)
    return RuleChunker()


class RuleChunker:
    """For titles, which are noun phrases already: cut at punctuation and function words, heads come last.

    Of each piece up to the last word without a digit (what follows is a model or size), it gives the
    endings of one to ``LONGEST`` words: "Tower Desktop Computer" gives computer, desktop computer, tower
    desktop computer. Words with digits do not begin a chunk.
    """

    name = "rules"

    def chunks(self, text: str) -> list[Chunk]:
        """Chunks of every piece, shortest first."""
        found: list[Chunk] = []
        for piece in _SEGMENT.split(text.lower()):
            words = [word.removesuffix("'s").removesuffix("’s") for word in _WORD.findall(piece)]
            while words and _DIGIT.search(words[-1]):
                words.pop()
            for start in range(len(words) - 1, max(-1, len(words) - 1 - LONGEST), -1):
                if not _DIGIT.search(words[start]):
                    surface = " ".join(words[start:])
                    found.append(Chunk(surface, self.lemma(surface)))
        return found

    def lemma(self, mention: str) -> str:
        """The mention in lower case with its last word in the singular."""
        words = mention.lower().split()
        return " ".join([*words[:-1], singular(words[-1])]) if words else ""


class SpacyChunker:
    """spaCy's noun chunks, and for each also the chunk's root word alone."""

    def __init__(self, pipeline: str) -> None:
        import spacy

        self.name = pipeline
        self._nlp: Any = spacy.load(pipeline)

    def chunks(self, text: str) -> list[Chunk]:
        """Noun chunks without leading determiners, then their root words."""
        found: list[Chunk] = []
        for span in self._nlp(text).noun_chunks:
            words = [token for token in span if token.pos_ != "DET"]
            for tokens in (words, [span.root]) if len(words) > 1 else (words,):
                if tokens:
                    surface = " ".join(token.lower_ for token in tokens)
                    found.append(Chunk(surface, _lemma(tokens)))
        return found

    def lemma(self, mention: str) -> str:
        """The mention in lower case with its last word's lemma."""
        return _lemma(list(self._nlp(mention.strip())))


def singular(word: str) -> str:
    """The singular of a regular English plural; any other word as it is."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-1]


def _lemma(tokens: list[Any]) -> str:
    return " ".join([*(token.lower_ for token in tokens[:-1]), tokens[-1].lemma_.lower()]) if tokens else ""

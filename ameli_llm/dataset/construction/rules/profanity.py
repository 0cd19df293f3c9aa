"""Rule "profanity": reviews with a word of a block list are dropped (paper, section 3.2, rule 6).

The paper takes the list of Free Web Header, which no package carries. The list of better-profanity (MIT)
stands in for it; ``words`` names a file with another, a word or phrase a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Literal

from ameli_llm.dataset.construction.raw import RawReview
from ameli_llm.dataset.construction.rules.rule import Folders, Rule, RuleSettings
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.records import Note
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.files import read_bounded

STAGE: Literal["text"] = "text"
NUMBER = 6

MAX_BYTES = 4 << 20
"""Longest list that is read."""

_WORD = re.compile(r"[^\W_]+(?:['’@$*!][^\W_]+)*")


EVERYDAY = (
    *(
        "enlargement",
        "facial",
        "fat",
        "flange",
        "god",
        "hemp",
        "junky",
        "kill",
        "knob",
        "maxi",
        "naked",
        "omg",
    ),
    *("oral", "penetration", "pot", "screw", "slope", "sniper", "strip", "stupid", "ugly", "uzi", "virgin"),
    *("vodka", "wang", "whiz"),
)
"""Words of better-profanity's list that product pages and reviews use of goods: a coffee pot, a knob."""


class Settings(RuleSettings):
    """``words``: a file of one's own; ``allowed``: words that are none here, though they are on the list."""

    words: str = ""
    allowed: tuple[str, ...] = EVERYDAY


class _Profanity(Rule):
    def __init__(self, phrases: Iterable[tuple[str, ...]]) -> None:
        found = set(phrases)
        self._words = {phrase[0] for phrase in found if len(phrase) == 1}
        self._phrases: dict[str, list[tuple[str, ...]]] = {}
        for phrase in found:
            if len(phrase) > 1:
                self._phrases.setdefault(phrase[0], []).append(phrase)

    def review(self, review: RawReview, folders: Folders, note: Note) -> RawReview:
        words = _WORD.findall(review.text.casefold())
        if not self._words.isdisjoint(words) or self._has_phrase(words):
            raise LeftOutError("has a word of the block list")
        return review

    def _has_phrase(self, words: list[str]) -> bool:
        starts = ((place, self._phrases[word]) for place, word in enumerate(words) if word in self._phrases)
        return any(
            tuple(words[place : place + len(phrase)]) == phrase for place, some in starts for phrase in some
        )


def create(settings: Settings) -> Rule:
    """The rule: whole words in any case, no disguised spellings. Raises AmeliError for an empty list."""
    lines = _read(Path(settings.words)) if settings.words else _packaged()
    phrases = {tuple(_WORD.findall(line.casefold())) for line in lines}
    phrases -= {tuple(_WORD.findall(word.casefold())) for word in settings.allowed} | {()}
    if not phrases:
        raise AmeliError(f"The block list {settings.words or 'of better-profanity'} has no word left in it.")
    return _Profanity(phrases)


def _packaged() -> list[str]:
    try:
        file = resources.files("better_profanity") / "profanity_wordlist.txt"
    except ModuleNotFoundError as error:
        raise MissingPackageError("better-profanity", "build") from error
    return file.read_text(encoding="utf-8").splitlines()


def _read(path: Path) -> list[str]:
    text = read_bounded(path, MAX_BYTES, "the block list")
    try:
        return text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise AmeliError(f"The block list {path} is not UTF-8.") from None

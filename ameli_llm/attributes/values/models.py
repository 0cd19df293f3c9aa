"""Model numbers in running text: words that mix letters and digits, however they are hyphenated."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ameli_llm.attributes.values.tokens import MAX_CHARS, plain, squash

SHORTEST_PREFIX = 5
"""A model number that goes on ("WH1000XM4/B") is the same model from this many characters on."""

_WORD = re.compile(r"(?<![\w.])(?=[\w/-]{0,40}\d)[^\W_]+(?:[-/][^\W_]+){0,5}(?![\w])")
_NOT_A_MODEL = re.compile(
    r"\d+(?:st|nd|rd|th|s|x|k|p|i|d|g|hz|am|pm)?|\d+-\w+|\w+-\d|[a-z]+\d{0,1}", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Model:
    """``code`` is the model number without hyphens, spaces and case."""

    code: str
    start: int
    end: int


def find_models(text: str) -> tuple[Model, ...]:
    """Words of letters and digits that can be model numbers; "1080p", "5th" and "3-piece" are none."""
    found = []
    for match in _WORD.finditer(plain(text[:MAX_CHARS])):
        word = match.group()
        if any(c.isalpha() for c in word) and not _NOT_A_MODEL.fullmatch(word):
            found.append(Model(squash(word), match.start(), match.end()))
    return tuple(found)


def same_model(left: str, right: str) -> bool:
    """Two codes of one model: equal, or one is the other with a suffix for colour, region or pack."""
    short, long = sorted((left, right), key=len)
    long_enough = len(short) >= SHORTEST_PREFIX and any(c.isdigit() for c in short)
    return left == right or (long_enough and long.startswith(short) and not _splits_number(short, long))


def _splits_number(short: str, long: str) -> bool:
    return short[-1].isdigit() and long[len(short)].isdigit()

"""Words and numbers of a text with their place in it; the base of every comparison of values.

A token is a run of letters or a number, so "WH-1000XM4", "WH1000XM4" and "wh 1000 xm4" have the same tokens,
and so have "six burners" and "6 burner".
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from ameli_llm.attributes.values.numerals import DIGITS

MAX_CHARS = 20_000
"""Longest part of a text that is read; the paper's reviews end at 500 tokens."""

_TOKEN = re.compile(
    r"""(?P<number> \d{1,3} (?: ,\d{3} )+ (?![\d,]) (?: \.\d+ )? | \d+ (?: \.\d+ )? )
      | (?P<word> [^\W\d_]+ ) (?: '(?:s|S)\b )?""",
    re.VERBOSE,
)

# One character for one, so that offsets stay those of the source.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„‟″〃", '"'),
        **dict.fromkeys("‘’‚‛′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−﹣－", "-"),
        **dict.fromkeys("×✕✖", "x"),
        **dict.fromkeys("™®©\u00a0\u2007\u2009\u200a\u202f\u0000\ufeff", " "),
        "º": "°",
        "⁄": "/",
    }
)


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` is the folded form, ``start`` and ``end`` are offsets into the source.

    ``joined`` says that no separator stands between this token and the one before: "xm" in "1000xm4".
    """

    text: str
    start: int
    end: int
    joined: bool = False


def plain(text: str) -> str:
    """The text with one form of each quote, dash and space; as long as the source."""
    return text.translate(_PLAIN)


@lru_cache(maxsize=65_536)
def fold(word: str) -> str:
    """A word without case, accents and plural: "Café's" and "cafes" are "cafe". Letters and digits only."""
    decomposed = unicodedata.normalize("NFKD", word)
    kept = "".join(c for c in decomposed.casefold() if c.isalnum())
    plural = len(kept) > 3 and kept.endswith("s") and not kept.endswith("ss") and kept.isalpha()
    return kept[:-1] if plural else kept


@lru_cache(maxsize=256)
def tokens(text: str) -> tuple[Token, ...]:
    """The tokens of the first 20,000 characters; punctuation, signs and emoji are none."""
    found: list[Token] = []
    end = -1
    for match in _TOKEN.finditer(plain(text[:MAX_CHARS])):
        kind = match.lastgroup or "word"
        source = match.group(kind)
        folded = source.replace(",", "") if kind == "number" else _in_digits(fold(source))
        if folded:
            start, stop = match.span(kind)
            found.append(Token(folded, start, stop, joined=start == end))
            end = stop
    return tuple(found)


def _in_digits(word: str) -> str:
    return DIGITS.get(word, word)


def squash(text: str) -> str:
    """All tokens as one string: equal for "Hewlett-Packard" and "HEWLETT PACKARD"."""
    return "".join(token.text for token in tokens(text))

"""Token budgets without a tokenizer: a cautious estimate, texts cut at a sentence, lists cut to what fits."""

from __future__ import annotations

import re
from collections.abc import Callable

from ameli_llm.templates.text import clean
from ameli_llm.types import Review

_PIECE = re.compile(r"[A-Za-z]{1,6}|[0-9]{1,2}|[^\sA-Za-z0-9]")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s|\n")
MARKER = " […]"
MAX_CHARACTERS = 20_000
"""Longest part of a review's header or body that is looked at."""


def estimate_tokens(text: str) -> int:
    """Tokens that ``text`` takes in a common sub-word tokenizer, rather too many than too few.

    Counts pieces of at most six letters or two digits, and every other visible character as one.
    """
    return sum(1 for _ in _PIECE.finditer(text))


def cut_text(text: str, tokens: int) -> tuple[str, bool]:
    """The longest run of whole sentences from the start that fits in ``tokens``, and whether it was cut.

    A cut text ends in a marker, which is counted. When not even the first sentence fits, whole words are
    kept, and when there is no word boundary, characters.
    """
    pieces = _PIECE.finditer(text)
    room = max(tokens - estimate_tokens(MARKER), 0)
    end = 0
    for count, piece in enumerate(pieces, start=1):
        if count == room:
            end = piece.end()
        if count > tokens:
            break
    else:
        return text, False
    head = text[:end]
    ends = [match.start() for match in _SENTENCE_END.finditer(text, 0, end + 1)]
    if ends:
        head = head[: ends[-1]]
    elif end < len(text) and text[end].isalnum():
        head = head.rpartition(" ")[0] or head
    return head.rstrip() + MARKER, True


def cut_words(text: str, characters: int) -> str:
    """``text`` if it has at most ``characters``, else its first words and an ellipsis within that length."""
    if len(text) <= characters:
        return text
    head = text[: characters - 1]
    return (head.rpartition(" ")[0] or head).rstrip(" ,;-") + "…"


def largest_fitting(most: int, fits: Callable[[int], bool]) -> int:
    """The largest n in 0..``most`` with ``fits(n)``, by bisection; 0 when none of 1..``most`` fits.

    ``fits`` must not become true again once it is false.
    """
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def review_excerpt(review: Review, tokens: int) -> tuple[str, bool]:
    """Header and body of ``review`` on lines of their own, made safe, within ``tokens``; and whether cut."""
    parts = (review.header, review.body)
    text = clean("\n".join(part[:MAX_CHARACTERS] for part in parts if part.strip()))
    excerpt, cut = cut_text(text, tokens)
    return excerpt, cut or any(len(part) > MAX_CHARACTERS for part in parts)

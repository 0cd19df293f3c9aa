"""Whether a place in a text states a value of the reviewed product, denies it, or means another product."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import Literal

from ameli_llm.attributes.values.colours import find_colours
from ameli_llm.attributes.values.tokens import MAX_CHARS, fold, plain, tokens
from ameli_llm.attributes.values.units import load_table, units

Standing = Literal["stated", "denied", "other_product"]

_SENTENCE_END = re.compile(r"[.!?;\n]+(?=\s|$)|[()]|\s-+\s")
_REACH = 8
"""Words between a direct negation or another product and the value."""
_BEHIND = 6
"""Words between the value and "sold out"."""
_LABEL_WORDS = 5

Phrase = tuple[str, ...]


@dataclass(frozen=True)
class _Cues:
    """``phrases``: first word of a cue, then the whole cue and its kinds."""

    negations: frozenset[str]
    transparent: frozenset[str]
    neutralisers: frozenset[str]
    phrases: Mapping[str, tuple[tuple[Phrase, str], ...]]


class Context:
    """The sentences of one text; asked for the standing and the label of a span."""

    def __init__(self, text: str) -> None:
        self._text = plain(text[:MAX_CHARS])
        self._words = tokens(text)
        self._starts = [word.start for word in self._words]
        self._breaks = [
            match.end()
            for match in _SENTENCE_END.finditer(self._text)
            if not self._abbreviates(match.start())
        ]
        self._values = frozenset(
            i for c in find_colours(text) for i in range(*self._range(c.start, c.end))
        )  # other colours between a negation and the value: "not red or black"
        self._marks = self._find_cues()

    def standing(self, start: int, end: int) -> Standing:
        """How the value at ``start:end`` stands: the nearest cue in its sentence decides, see words.yaml.

        Denied: right after a negation ("isn't black", "not red or black"), wished for, expected but not
        received, out of stock. Another product: "my old Acme", "compared to the Acme", "fits my Acme".
        """
        first, stop = self._range(start, end)
        low, high = self._sentence(start, end)
        clause = self._last("reset", low, first)
        if self._negated(low, first) or self._last("wish", clause, first) > clause:
            return "denied"
        if self._last("expected", clause, first) > clause and self._last("contrast", stop, high) > stop:
            return "denied"
        if self._last("behind", stop, min(high, stop + _BEHIND)) > stop:
            return "denied"
        near = max(clause, first - _REACH)
        return "other_product" if self._last("other", near, first) > near else "stated"

    def label(self, start: int, end: int) -> frozenset[str]:
        """Words of the label in front of the value ("Hard Drive: 1 TB"), empty when there is none."""
        low, _ = self._sentence(start, end)
        if low >= len(self._words):
            return frozenset()
        colon = self._text.rfind(":", self._words[low].start, start)
        if colon < 0:
            return frozenset()
        words = self._words[low : bisect_left(self._starts, colon)]
        return frozenset(word.text for word in words) if len(words) <= _LABEL_WORDS else frozenset()

    def around(self, start: int, end: int, reach: int = 4) -> list[str]:
        """Words near the value, nearest first and behind before ahead, up to the next number or comma."""
        first, stop = self._range(start, end)
        low, high = self._sentence(start, end)
        behind: list[str] = []
        for index in range(stop, min(high, stop + reach)):
            if self._words[index].text[0].isdecimal() or "," in self._pause(index - 1):
                break
            behind.append(self._words[index].text)
        ahead: list[str] = []
        for index in range(first - 1, max(low, first - reach) - 1, -1):
            if self._words[index].text[0].isdecimal() or "," in self._pause(index):
                break
            ahead.append("" if self._words[index].text in units().aliases else self._words[index].text)
        pairs = zip_longest(behind, ahead, fillvalue="")
        return [word for pair in pairs for word in pair if word]

    def _negated(self, low: int, first: int) -> bool:
        cues = _cues()
        for index in range(first - 1, max(low, first - _REACH) - 1, -1):
            word = self._words[index]
            if "," in self._pause(index):
                return False
            if self._is_negation(index):
                whether = index > low and self._words[index - 1].text in ("or", "if")
                return not whether and self._text_at(index + 1) not in cues.neutralisers
            if index + 1 in self._marks.get("instead", ()):
                return True
            number = word.text[0].isdecimal() or word.text in units().aliases
            if word.text not in cues.transparent and index not in self._values and not number:
                return False
        return False

    def _find_cues(self) -> dict[str, list[int]]:
        """Where the cues of each kind end, in words, ascending."""
        texts = tuple(word.text for word in self._words)
        marks: dict[str, list[int]] = {}
        for index, text in enumerate(texts):
            for phrase, kind in _cues().phrases.get(text, ()):
                if texts[index : index + len(phrase)] == phrase:
                    marks.setdefault(kind, []).append(index + len(phrase))
        return {kind: sorted(ends) for kind, ends in marks.items()}

    def _last(self, kind: str, low: int, high: int) -> int:
        """End of the last cue of a kind that ends within (low, high], else ``low``."""
        ends = self._marks.get(kind, [])
        place = bisect_right(ends, high)
        return max(low, ends[place - 1]) if place else low

    def _pause(self, index: int) -> str:
        """What stands between a word and the next."""
        following = self._words[index + 1 : index + 2]
        return self._text[self._words[index].end : following[0].start] if index >= 0 and following else ""

    def _abbreviates(self, place: int) -> bool:
        """Whether the full stop there belongs to a unit in mid-sentence: "the 14.5 cu. ft. size"."""
        word = self._words[bisect_left(self._starts, place) - 1] if self._words else None
        if word is None or word.end != place or self._text[place : place + 2] != ". ":
            return False
        return word.text in units().aliases and self._text[place + 2 : place + 3].islower()

    def _text_at(self, index: int) -> str:
        return self._words[index].text if index < len(self._words) else ""

    def _is_negation(self, index: int) -> bool:
        word = self._words[index]
        contracted = word.text == "t" and self._text[word.start - 1 : word.start] == "'"
        return contracted or word.text in _cues().negations

    def _range(self, start: int, end: int) -> tuple[int, int]:
        """First word of the span and first word behind it."""
        first = max(0, bisect_right(self._starts, start) - 1) if self._words else 0
        if self._words and self._words[first].end <= start:
            first += 1
        return first, bisect_left(self._starts, end)

    def _sentence(self, start: int, end: int) -> tuple[int, int]:
        left = bisect_right(self._breaks, start)
        low = self._breaks[left - 1] if left else 0
        right = bisect_left(self._breaks, end)
        high = self._breaks[right] if right < len(self._breaks) else len(self._text)
        return bisect_left(self._starts, low), bisect_left(self._starts, high)


@cache
def _cues() -> _Cues:
    raw = load_table("words.yaml")
    negation = raw["negation"]

    kinds = {kind: negation[kind] for kind in ("instead", "wish", "expected", "contrast", "behind")}
    kinds |= {"other": raw["other_product"], "reset": raw["resets"]}
    phrases: dict[str, list[tuple[Phrase, str]]] = {}
    for kind, entries in kinds.items():
        for phrase in {tuple(token.text for token in tokens(entry)) for entry in entries}:
            phrases.setdefault(phrase[0], []).append((phrase, kind))

    def words(name: str) -> frozenset[str]:
        return frozenset(fold(entry) for entry in negation[name])

    return _Cues(
        negations=words("cues"),
        transparent=words("transparent"),
        neutralisers=words("neutralisers"),
        phrases={first: tuple(sorted(found)) for first, found in phrases.items()},
    )

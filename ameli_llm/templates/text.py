"""Untrusted text on its way into a prompt, and a model's quotation of it on the way back.

Into the prompt: ``clean`` and ``one_line`` take away what could end a delimited block, start a chat turn or
hide from a human reader. Back: ``SearchableText`` finds a quotation in the text as it was before.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_NEWLINE = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x09\x0e-\x1f\x7f-\x9f]")
_SPACES = re.compile(r" {2,}")
# Unicode's Default_Ignorable_Code_Point (soft hyphen, joiners, bidi controls, fillers, variation selectors,
# tags), and what else shows nothing: annotation and hieroglyph controls, halves of surrogate pairs.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_JOINERS = frozenset("\u200c\u200d")
_SELECTORS = frozenset("\ufe0e\ufe0f")
_SUSPECT = re.compile("[<\\[\\]\ufe64\uff1c\ufe47\ufe48\uff3b\uff3d]")  # and all that NFKC turns into them
_MARKER = re.compile(
    r"""
      <(?![A-Z]>|X{1,4}[SL]>)                            # sizes may stand: <M>, <XXL>
       (?: (?![\s\d=.,;:)'"$€£~+-]|\Z)                   # as may 5 < 6, <3, <= and <$20; the rest is a tag
         | (?=0x)
         | (?=\s*[/|])
         | (?=[^\w>]{0,16}(?:(?i:review)|[^\W\d]\w{0,40}[^\w>]{0,16}>))  # < review, < think >
       )
    | \[(?=\s*(?: [/|] | [A-Z]\s*\] | (?=\w{0,40}(?:[A-Z]{2}|_))\w{1,64}\s*\] ))  # [INST], [gMASK], [|user|]
    | [\[\]](?=\w?~)                                     # ]~b], [e~[
    """,
    re.VERBOSE,
)
_DISARMED = {"<": "‹", "[": "(", "]": ")"}
_COLUMN = str.maketrans("|｜", "//")
_EDGES = " \t\n.,;:!?…\"'“”‘’()"
_FOLDED = str.maketrans("‹[]|’‘“”", "<()/''\"\"")
_DASHES = frozenset("‐‑‒–—−")


def clean(text: str) -> str:
    """``text`` without control characters and without anything that reads as a tag or a chat marker.

    Line breaks stay; runs of blanks and of empty lines become one. ``</review>`` and ``<|im_start|>`` lose
    their bracket (``‹``), ``[INST]`` becomes ``(INST]``, however they are spelled: in full width, spaced, or
    with invisible characters inside. Those go, but for joiners and variation selectors behind a letter or
    emoji that may need them; right-to-left letters pass unchanged. Cleaned text stays as it is when cleaned.
    """
    text = _CONTROL.sub(" ", _NEWLINE.sub("\n", text))
    text = _SPACES.sub(" ", _IGNORABLE.sub(_needed, text))
    return _disarm("\n".join(line for line in (part.strip() for part in text.split("\n")) if line))


def one_line(text: str) -> str:
    """``clean`` for names, keys and values: one line, and ``|``, which separates columns, becomes ``/``."""
    return clean(text.translate(_COLUMN)).replace("\n", " ")


class SearchableText:
    """A text in which quotations are found whatever their case, spacing, dashes and typographic quotes.

    Whatever ``clean`` changes makes no difference: a quotation of the cleaned text is found in the raw one.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._folded, self._offsets = _fold(text)

    def find(self, quote: str) -> tuple[int, int] | None:
        """Character offsets of the first occurrence of ``quote`` as whole words, None when there is none."""
        wanted = _fold(quote)[0].strip(_EDGES)
        if not any(character.isalnum() for character in wanted):
            return None
        start = self._folded.find(wanted)
        while start >= 0:
            end = start + len(wanted)
            if self._is_boundary(start) and self._is_boundary(end) and self._has_whole(start, end):
                return self._offsets[start], self._end(self._offsets[end - 1] + 1)
            start = self._folded.find(wanted, start + 1)
        return None

    def _is_boundary(self, at: int) -> bool:
        inside = 0 < at < len(self._folded)
        return not (inside and self._folded[at - 1].isalnum() and self._folded[at].isalnum())

    def _has_whole(self, start: int, end: int) -> bool:
        """Whether it cuts no character of the text in two: "1" is not in "¼", which reads 1⁄4 when folded."""
        first, last = start, end
        while first > 0 and self._offsets[first - 1] == self._offsets[start]:
            first -= 1
        while last < len(self._offsets) and self._offsets[last] == self._offsets[end - 1]:
            last += 1
        return not (self._folded[first:start] + self._folded[end:last]).strip(_EDGES)

    def _end(self, at: int) -> int:
        while at < len(self.text) and self.text[at] in _JOINERS | _SELECTORS:
            at += 1  # they belong to the character before
        return at


def _needed(run: re.Match[str]) -> str:
    """What stays of a run of invisible characters: at most a selector and a joiner."""
    text, kept = run.string, ""
    before, after = text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1]
    for character in run[0]:
        if _is_needed(before, character, after):
            kept += character
            before = character
    return kept


def _is_needed(before: str, character: str, after: str) -> bool:
    if character in _SELECTORS and after == "\u20e3":
        return before in set("0123456789#*")  # a keycap
    if character not in _JOINERS | _SELECTORS or before.isascii() or before.isspace():
        return False
    return (before, character) == ("\ufe0f", "\u200d") or before not in _JOINERS | _SELECTORS


def _disarm(text: str) -> str:
    """``text`` without the bracket of every marker, found in its shape under NFKC without the invisible."""
    if not _SUSPECT.search(text):
        return text
    shape = text
    places: Sequence[int] = range(len(text))
    if not text.isascii():
        plain = [("" if _IGNORABLE.match(c) else unicodedata.normalize("NFKC", c)) for c in text]
        shape = "".join(plain)
        places = [place for place, characters in enumerate(plain) for _ in characters]
    characters = list(text)
    for marker in _MARKER.finditer(shape):
        characters[places[marker.start()]] = _DISARMED[marker[0]]
    return "".join(characters)


def _fold(text: str) -> tuple[str, list[int]]:
    folded: list[str] = []
    offsets: list[int] = []
    for index, character in enumerate(text):
        if _IGNORABLE.match(character):
            continue
        if character.isspace() or unicodedata.category(character) == "Cc":
            new = "" if folded and folded[-1] == " " else " "
        elif character in _DASHES:
            new = "-"
        else:
            new = unicodedata.normalize("NFKC", character).translate(_FOLDED).casefold()
        folded.extend(new)
        offsets.extend([index] * len(new))
    return "".join(folded), offsets

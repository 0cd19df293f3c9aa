"""Untrusted text on its way into a prompt, and a model's quotation of it on the way back.

Into the prompt: ``clean`` and ``one_line`` take away what could end a delimited block, start a chat turn or
hide from a human reader. Back: ``SearchableText`` finds a quotation in the text as it was before.
"""

from __future__ import annotations

import re
import unicodedata

_NEWLINE = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x09\x0e-\x1f\x7f-\x9f]")
# Soft hyphen, zero-width space and BOM, bidirectional overrides and isolates, lone surrogates, tags.
# Zero-width joiners stay: emoji and several scripts need them.
_INVISIBLE = re.compile("[\u00ad\u200b\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]")
_TAG = re.compile(r"<(?=[/|!?｜]?[A-Za-z_|｜])")
_BRACKET = re.compile(r"\[(?=/?[A-Z_]+\])")
_SPACES = re.compile(r" {2,}")
_EDGES = " \t\n.,;:!?…\"'“”‘’()"
_FOLDED = str.maketrans({"‹": "<", "[": "(", "|": "/", "’": "'", "‘": "'", "“": '"', "”": '"'})
_DASHES = frozenset("‐‑‒–—−")


def clean(text: str) -> str:
    """``text`` without control characters and without anything that reads as a tag or a chat marker.

    Line breaks stay; runs of blanks and of empty lines become one. ``</review>`` and ``<|im_start|>`` lose
    their bracket (``‹``), ``[INST]`` becomes ``(INST]``. Emoji and right-to-left letters pass unchanged.
    """
    text = _CONTROL.sub(" ", _NEWLINE.sub("\n", text))
    text = _TAG.sub("‹", _INVISIBLE.sub("", text))
    text = _SPACES.sub(" ", _BRACKET.sub("(", text))
    return "\n".join(line for line in (part.strip() for part in text.split("\n")) if line)


def one_line(text: str) -> str:
    """``clean`` for names, keys and values: one line, and ``|``, which separates columns, becomes ``/``."""
    return clean(text).replace("\n", " ").replace("|", "/")


class SearchableText:
    """A text in which quotations are found whatever their case, spacing, dashes and typographic quotes."""

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
            if self._is_boundary(start) and self._is_boundary(end):
                return self._offsets[start], self._offsets[end - 1] + 1
            start = self._folded.find(wanted, start + 1)
        return None

    def _is_boundary(self, at: int) -> bool:
        inside = 0 < at < len(self._folded)
        return not (inside and self._folded[at - 1].isalnum() and self._folded[at].isalnum())


def _fold(text: str) -> tuple[str, list[int]]:
    folded: list[str] = []
    offsets: list[int] = []
    for index, character in enumerate(text):
        if _INVISIBLE.match(character):
            continue
        if character.isspace() or unicodedata.category(character) == "Cc":
            new = "" if folded and folded[-1] == " " else " "
        elif character in _DASHES:
            new = "-"
        else:
            new = unicodedata.normalize("NFKC", character.translate(_FOLDED)).casefold()
        folded.extend(new)
        offsets.extend([index] * len(new))
    return "".join(folded), offsets

"""Words of product and review text for word matching: "4TB" gives the same terms as "4 TB"."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+(?:[-'’][^\W_]+)*")
_PART = re.compile(r"\d+|[^\W\d_]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_QUANTITY = re.compile(r"\d+[^\W\d_]+")


def terms(text: str) -> list[str]:
    """Terms in the order of the text: lower case, compatibility forms unified, numbers apart from letters.

    A word that mixes letters, digits and hyphens gives its parts, and a model number also the whole without
    hyphens: "WH-1000XM4" is wh, 1000, xm, 4, wh1000xm4. A number with a unit gives its parts only.
    """
    plain = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).lower())
    found: list[str] = []
    for match in _WORD.finditer(plain):
        found += _split(match.group())
    return found


def _split(word: str) -> list[str]:
    if word.isalpha() or word.replace(".", "").isdigit():
        return [word]
    word = re.sub(r"['’]s?", "", word)
    parts = _PART.findall(word)
    whole = word.replace("-", "")
    is_model = any(part.isdigit() for part in parts) and len(parts) > 1 and not _QUANTITY.fullmatch(word)
    return [*parts, whole] if is_model else parts

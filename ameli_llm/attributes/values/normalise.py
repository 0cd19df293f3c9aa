"""One form for all spellings of a value: 1 TB and 1000 gigabytes, Hewlett-Packard and HP, grey and gray."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Literal

from ameli_llm.attributes.values.colours import parse_colours
from ameli_llm.attributes.values.models import same_model
from ameli_llm.attributes.values.quantities import Quantity, find_quantities
from ameli_llm.attributes.values.tokens import fold, plain, tokens
from ameli_llm.attributes.values.units import load_table, units

Kind = Literal["quantity", "colour", "brand", "model", "text"]

PARTIAL = 0.5
"""Agreement of two shades of one base colour, of a brand with its sub-brand, of a size with one side."""

_MAX_VALUE = 300
_PART_WORDS = 6
_LONGEST_QUANTITY = 60
_NUMERAL = re.compile(r"[\d½¼¾⅓⅔⅛⅜⅝⅞]")
_SPLIT = re.compile(r"\s*[,;|\n]\s*")
_SPLIT_COLOURS = re.compile(r"\s*(?:[,;|/&+\n]|\band\b|\bwith\b)\s*", re.IGNORECASE)
_AROUND_A_QUANTITY = frozenset(
    {"up", "to", "approx", "approximately", "about", "ac", "dc", "diagonal", "class", "viewable"}
    | {"max", "maximum", "min", "minimum", "each", "or", "total"}
)


@dataclass(frozen=True, slots=True)
class NormalisedValue:
    """Equal and of one hash exactly when two spellings mean the same value.

    ``code`` is the identity within ``kind``. ``base`` is a colour's base colour or a quantity's dimension,
    ``text`` a canonical spelling that normalises to the same value, ``words`` the folded words.
    """

    kind: Kind
    code: str
    base: str = field(default="", compare=False)
    text: str = field(default="", compare=False)
    words: tuple[str, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        """Kind and code in one string, for files."""
        return f"{self.kind}:{self.code}"


@lru_cache(maxsize=65_536)
def normalise(key: str, value: str) -> NormalisedValue:
    """The normalised form of one value; what the key says decides between readings.

    A brand key reads brands, a model key model numbers, a colour key colours. Elsewhere a value that is all
    quantity is one (a bare number takes the unit that the key implies), a value that is all colour is one,
    and everything else is text. Never raises; values are cut at 300 characters.
    """
    written = " ".join(plain(value[:_MAX_VALUE]).split())
    role = key_role(key)
    words = tuple(token.text for token in tokens(written))
    canonical = " ".join(written.casefold().split())
    if role == "brand":
        return NormalisedValue("brand", _brand_code(words), text=canonical, words=words)
    if role == "model":
        return NormalisedValue("model", "".join(words), text=canonical, words=words)
    quantity = _whole_quantity(key, written) if role != "colour" else None
    if quantity:
        base = quantity.dimension
        return NormalisedValue("quantity", quantity.code, base=base, text=quantity.text, words=words)
    colours = parse_colours(written)
    if len(colours) == 1:
        colour = colours[0]
        code = f"{colour.base}/{colour.shade}"
        return NormalisedValue("colour", code, base=colour.base, text=colour.shade, words=words)
    return NormalisedValue("text", "".join(words) or canonical, text=canonical, words=words)


@lru_cache(maxsize=65_536)
def alternatives(key: str, value: str) -> tuple[str, ...]:
    """The values that one cell of a product page lists ("XS, S, M", "Black/Red"), as written there.

    One value where the cell is no list: brands, model numbers, sizes and sentences are left whole.
    """
    whole = value.strip()
    role = key_role(key)
    if (
        role in ("brand", "model")
        or len(whole) > _MAX_VALUE
        or _whole_quantity(key, " ".join(plain(whole).split()))
    ):
        return (whole,)
    pattern = _SPLIT_COLOURS if role == "colour" else _SPLIT
    parts = [part.strip() for part in pattern.split(whole) if part.strip()]
    if len(parts) < 2 or any(len(tokens(part)) > _PART_WORDS for part in parts):
        return (whole,)
    return tuple(dict.fromkeys(parts))


def normalise_all(key: str, values: Iterable[str]) -> tuple[NormalisedValue, ...]:
    """Every alternative of every value, normalised, without those that tell nothing ("Other", "N/A")."""
    parts = (part for value in values for part in alternatives(key, value))
    found = dict.fromkeys(normalise(key, part) for part in parts if not is_ignored(part, key_role(key)))
    return tuple(found)


def agreement(stated: NormalisedValue, values: Iterable[NormalisedValue]) -> float | None:
    """How well a stated value agrees with a product's values: 1, PARTIAL, 0 for conflict, None for unknown.

    Unknown where the product has no value, or only ones that cannot be compared: another dimension, words
    against a number, a colour against "Multicolor", texts that share some words only.
    """
    levels = [level for value in values if (level := _agreement(stated, value)) is not None]
    return max(levels, default=None)


@lru_cache(maxsize=1024)
def key_role(key: str) -> Literal["brand", "model", "colour", ""]:
    """What a key speaks of, told by its words."""
    words = {token.text for token in tokens(key)}
    if words & {"color", "colour"} or words == {"finish"}:
        return "colour"
    if words & {"brand", "manufacturer"} and not words & {"compatible", "processor", "gpu", "graphic"}:
        return "brand"
    if words & {"model", "mpn", "sku"} or {"part", "number"} <= words:
        return "model"
    return ""


@lru_cache(maxsize=16_384)
def is_ignored(value: str, role: str = "") -> bool:
    """A value that tells nothing apart: "Yes", "Other", punctuation only; "DDR3" as a model number."""
    words = [token.text for token in tokens(value)]
    code = "".join(words)
    standard = role == "model" and len(words) in (2, 3) and words[0] in _standards()
    return not code or code in _ignored() or (standard and words[1][0].isdecimal())


def _agreement(stated: NormalisedValue, value: NormalisedValue) -> float | None:
    if stated == value:
        return 1.0
    if stated.kind != value.kind:
        same_words = stated.words and stated.words == value.words
        return 1.0 if same_words else None
    if stated.kind == "colour":
        if "multicolor" in (stated.base, value.base):
            return None
        return PARTIAL if stated.base == value.base else 0.0
    if stated.kind == "quantity":
        return _quantity_agreement(stated, value)
    if stated.kind == "model":
        return 1.0 if same_model(stated.code, value.code) else 0.0
    short, long = sorted((stated.words, value.words), key=len)
    if short and _contains(long, short):
        return PARTIAL
    return None if set(short) & set(long) else 0.0


def _quantity_agreement(stated: NormalisedValue, value: NormalisedValue) -> float | None:
    if stated.base != value.base:
        return None
    left, right = (set(v.code.split()[len(v.base.split()) + 1 :]) for v in (stated, value))
    return PARTIAL if left <= right or right <= left else 0.0


def _contains(long: tuple[str, ...], short: tuple[str, ...]) -> bool:
    return any(long[i : i + len(short)] == short for i in range(len(long) - len(short) + 1))


def _whole_quantity(key: str, written: str) -> Quantity | None:
    """The quantity that a value is, when nothing but filler words stands around it."""
    if len(written) > _LONGEST_QUANTITY or not _NUMERAL.search(written):
        return None
    found = find_quantities(written, free_text=False, bare=units().implied_by(key))
    if len(found) != 1:
        return None
    rest = tokens(f"{written[: found[0].start]} {written[found[0].end :]}")
    return found[0] if all(token.text in _AROUND_A_QUANTITY for token in rest) else None


def _brand_code(words: tuple[str, ...]) -> str:
    suffixes, names = _brands()
    kept = list(words)
    while len(kept) > 1 and kept[-1] in suffixes:
        kept.pop()
    code = "".join(kept)
    return names.get(code, code)


@cache
def _brands() -> tuple[frozenset[str], Mapping[str, str]]:
    table = load_table("words.yaml")
    names: dict[str, str] = {}
    for forms in table["brands"]:
        codes = ["".join(token.text for token in tokens(form)) for form in forms]
        names.update(dict.fromkeys(codes, codes[0]))
    return frozenset(fold(word) for word in table["brand_suffixes"]), names


@cache
def _standards() -> frozenset[str]:
    return frozenset(fold(word) for word in load_table("words.yaml")["standards"])


@cache
def _ignored() -> frozenset[str]:
    values = load_table("words.yaml")["ignored_values"]
    return frozenset("".join(token.text for token in tokens(str(value))) for value in values)

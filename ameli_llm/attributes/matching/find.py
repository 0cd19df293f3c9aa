"""Finds vocabulary values in a text: quantities, colours, words and typing errors, each with its span."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ameli_llm.attributes.matching.typos import find_typos
from ameli_llm.attributes.matching.vocabulary import Entry, Lookup, context_words
from ameli_llm.attributes.values.colours import Colour, find_colours
from ameli_llm.attributes.values.models import SHORTEST_PREFIX, find_models, same_model
from ameli_llm.attributes.values.quantities import Quantity, find_quantities, print_number
from ameli_llm.attributes.values.tokens import Token, tokens
from ameli_llm.attributes.values.units import convert, units

_MODEL_WORDS = 8
"""Letter and digit runs of the longest model number that is looked for."""


@dataclass(frozen=True, slots=True)
class Match:
    """A span of the text and every entry that it may state.

    ``form`` tells how it was found: "quantity", "bare" (a number without a unit), "nominal" (15 inch for
    15.6), "colour", "base colour" (blue for navy), "unsure colour" (an ordinary word: "rose"), "words",
    "model" (with or without its suffix) or "typo".
    """

    start: int
    end: int
    form: str
    entries: tuple[Entry, ...]


def find_values(text: str, lookup: Lookup, *, typos: bool = True) -> list[Match]:
    """Matches in the order of the text; longer ones swallow shorter ones inside them."""
    found = [
        *_quantities(text, lookup),
        *_colours(text, lookup),
        *_words(text, lookup),
        *_models(text, lookup),
    ]
    if typos:
        found += _typos(text, lookup, {entry.squash for match in found for entry in match.entries})
    return _outermost(found)


def _quantities(text: str, lookup: Lookup) -> Iterator[Match]:
    if not lookup.quantities:
        return
    for quantity in find_quantities(text):
        form = "quantity" if quantity.unit else "bare"
        entries = [e for code in _readings(quantity) for e in lookup.quantities.get(code, ())]
        if not entries and quantity.unit and quantity.unit.name == "inch":
            form, entries = "nominal", _nominal(quantity, lookup)
        if entries:
            yield Match(quantity.start, quantity.end, form, tuple(entries))


def _readings(quantity: Quantity) -> list[str]:
    """Codes that a quantity can mean: ounces are also fluid ounces, a bare number is gigabytes or inches."""
    if quantity.form != "single":
        return [quantity.code]
    if quantity.unit and quantity.unit.name == "ounce":
        return [quantity.code, _code(quantity.magnitudes[0] / _grams_per_ounce(), "fl oz")]
    if quantity.unit is None:
        return [quantity.code, _code(quantity.magnitudes[0], "gb"), _code(quantity.magnitudes[0], "inch")]
    return [quantity.code]


def _grams_per_ounce() -> float:
    return 28.349523125


def _code(value: float, alias: str) -> str:
    unit = units().aliases[alias]
    magnitude = convert(value, unit)
    return f"{unit.dimension} single {print_number(magnitude or 0.0)}"


def _nominal(quantity: Quantity, lookup: Lookup) -> list[Entry]:
    """Shoppers cut or round inches: the only screen size of a key that has the same whole number of them."""
    inches = quantity.magnitudes[0] / 25.4
    if quantity.form != "single" or abs(inches - round(inches)) > 0.02:
        return []
    near: dict[str, list[Entry]] = {}
    for code, entries in lookup.quantities.items():
        if code.startswith("length single "):
            other = float(code.rsplit(" ", 1)[1]) / 25.4
            if int(other + 0.02) == round(inches) or round(other) == round(inches):
                for entry in entries:
                    near.setdefault(entry.key, []).append(entry)
    return [
        entries[0] for key, entries in near.items() if len(entries) == 1 and "screen" in context_words(key)
    ]


def _colours(text: str, lookup: Lookup) -> Iterator[Match]:
    if not lookup.colours:
        return
    for colour in find_colours(text):
        match = _colour(colour, lookup)
        if match:
            yield match


def _colour(colour: Colour, lookup: Lookup) -> Match | None:
    exact = lookup.colours.get(f"{colour.base}/{colour.shade}")
    if exact:
        form = "colour" if colour.sure else "unsure colour"
        return Match(colour.start, colour.end, form, tuple(exact))
    if colour.shade == colour.base:  # a plain colour stands for each of its shades
        shades = lookup.bases.get(colour.base, [])
    else:
        shades = lookup.colours.get(f"{colour.base}/{colour.base}", [])
    form = "base colour" if colour.sure else "unsure colour"
    return Match(colour.start, colour.end, form, tuple(shades)) if shades else None


def _words(text: str, lookup: Lookup) -> Iterator[Match]:
    words = tokens(text)
    joined, starts, ends = _join(words)
    for squash, entries in lookup.words.items():
        place = joined.find(squash)
        while place >= 0:
            first, last = starts.get(place), ends.get(place + len(squash))
            if first is not None and last is not None and _is_word(words, first, last):
                yield Match(words[first].start, words[last].end, "words", tuple(entries))
            place = joined.find(squash, place + 1)


def _join(words: tuple[Token, ...]) -> tuple[str, dict[int, int], dict[int, int]]:
    """All words as one string, and which word starts and which ends at each of its offsets."""
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    length = 0
    for index, word in enumerate(words):
        starts[length] = index
        length += len(word.text)
        ends[length] = index
    return "".join(word.text for word in words), starts, ends


def _is_word(words: tuple[Token, ...], first: int, last: int) -> bool:
    """Nothing is attached to the span: "P7" is not in "HP7" or "P7X"."""
    return not words[first].joined and (last + 1 == len(words) or not words[last + 1].joined)


def _models(text: str, lookup: Lookup) -> Iterator[Match]:
    """Model numbers without, or with, the suffix for colour or region that the page gives or lacks."""
    prefixes: dict[str, list[Entry]] = {}
    for entries in lookup.words.values():
        for entry in entries:
            if entry.normal.kind == "model":
                for prefix in _prefixes(entry.squash):
                    prefixes.setdefault(prefix, []).append(entry)
    if not prefixes:
        return
    words = tokens(text)
    joined, starts, _ = _join(words)
    longest = max(map(len, prefixes))
    for place, first in starts.items():
        for last in range(first, min(first + _MODEL_WORDS, len(words))):
            code = joined[place : place + sum(len(word.text) for word in words[first : last + 1])]
            if len(code) > longest:
                break
            if code in prefixes and _is_word(words, first, last):
                yield Match(words[first].start, words[last].end, "model", tuple(prefixes[code]))
    for model in find_models(text):
        shorter = [
            code for code in lookup.words if model.code.startswith(code) and same_model(model.code, code)
        ]
        entries = [e for code in shorter for e in lookup.words[code] if e.normal.kind == "model"]
        if entries and model.code not in lookup.words:
            yield Match(model.start, model.end, "model", tuple(entries))


@lru_cache(maxsize=65_536)
def _prefixes(code: str) -> tuple[str, ...]:
    """Shorter codes of the same model."""
    return tuple(code[:n] for n in range(SHORTEST_PREFIX, len(code)) if same_model(code[:n], code))


def _typos(text: str, lookup: Lookup, found: set[str]) -> Iterator[Match]:
    words = tokens(text)
    named = [*lookup.words.values(), *lookup.colours.values()]
    wanted = [e for entries in named for e in entries if e.squash not in found]
    wanted = [
        e for e in wanted if e.normal.kind != "model" and not any(w[0].isdecimal() for w in e.normal.words)
    ]
    typos = find_typos((w.text for w in words), (w for e in wanted for w in e.normal.words))
    if not typos:
        return
    places: dict[str, list[int]] = {}
    for index, word in enumerate(words):
        places.setdefault(word.text, []).append(index)
    matches: dict[tuple[int, int], list[Entry]] = {}
    for entry in wanted:
        for offset, right in enumerate(entry.normal.words):
            for wrong in typos.get(right, ()):
                for place in places.get(wrong, ()):
                    span = _complete(words, place - offset, entry.normal.words, offset)
                    if span:
                        matches.setdefault(span, []).append(entry)
    yield from (Match(start, end, "typo", tuple(entries)) for (start, end), entries in matches.items())


def _complete(
    words: tuple[Token, ...], first: int, value: tuple[str, ...], skip: int
) -> tuple[int, int] | None:
    """The span where the other words of a value stand around its misspelt one."""
    last = first + len(value) - 1
    if first < 0 or last >= len(words) or not _is_word(words, first, last):
        return None
    if any(words[first + i].text != word for i, word in enumerate(value) if i != skip):
        return None
    return words[first].start, words[last].end


def _outermost(matches: list[Match]) -> list[Match]:
    """Drops what lies inside a longer match; matches of one span are kept side by side."""
    ordered = sorted(matches, key=lambda m: (m.start, -m.end))
    kept: list[Match] = []
    reach = (-1, -1)
    for match in ordered:
        if match.end <= reach[1] and (match.start, match.end) != reach:
            continue
        if match.end > reach[1]:
            reach = (match.start, match.end)
        kept.append(match)
    return kept

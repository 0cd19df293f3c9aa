"""Colours at two levels: the exact shade ("space gray") and its base colour ("gray")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ameli_llm.attributes.values.tokens import Token, fold, tokens
from ameli_llm.attributes.values.units import load_table

_LONGEST_PHRASE = 4


@dataclass(frozen=True, slots=True)
class Colour:
    """``shade`` equals ``base`` for a plain colour. ``sure`` is False for an ordinary word ("rose")."""

    base: str
    shade: str
    start: int
    end: int
    sure: bool = True


@dataclass(frozen=True)
class _Table:
    shades: Mapping[tuple[str, ...], str]
    phrases: frozenset[tuple[str, ...]]
    ordinary: frozenset[str]
    neutral: frozenset[str]
    modifiers: frozenset[str]
    same: Mapping[str, str]
    spellings: Mapping[str, str]


def find_colours(text: str) -> tuple[Colour, ...]:
    """The colours that a text names, left to right; "gray-toned pink" is one, "black/red" are two."""
    return _find(text, tokens(text))


def parse_colours(value: str) -> tuple[Colour, ...]:
    """The colours of an attribute value; none unless every word of it names or shades a colour."""
    words = tokens(value)
    found = _find(value, words)
    table = _table()
    covered = {i for c in found for i, t in enumerate(words) if c.start <= t.start and t.end <= c.end}
    rest = [t.text for i, t in enumerate(words) if i not in covered]
    return (
        found if found and all(w in table.neutral or w in table.modifiers or w == "and" for w in rest) else ()
    )


def _find(text: str, words: Sequence[Token]) -> tuple[Colour, ...]:
    table = _table()
    spelled = [table.spellings.get(word.text, word.text) for word in words]
    found: list[Colour] = []
    place = 0
    while place < len(words):
        length = _phrase_length(spelled, place, table)
        if length < 0:
            place -= length
            continue
        stop = place + length
        if not length or _glued(words, place, stop):
            place += 1
            continue
        first = place
        while first and spelled[first - 1] in table.modifiers and _beside(text, words, first - 1):
            if found and words[first - 1].start < found[-1].end:
                break
            first -= 1
        stop = _extend(text, words, spelled, stop, table)
        found.append(_colour(words, spelled, first, stop, table))
        place = stop
    return tuple(found)


def _phrase_length(spelled: Sequence[str], place: int, table: _Table) -> int:
    """Words of the colour name at ``place``: 0 for none, negative for a phrase that only looks like one."""
    for length in range(min(_LONGEST_PHRASE, len(spelled) - place), 0, -1):
        phrase = tuple(spelled[place : place + length])
        if phrase in table.phrases:
            return -length
        if phrase in table.shades:
            return length
    return 0


def _extend(text: str, words: Sequence[Token], spelled: Sequence[str], stop: int, table: _Table) -> int:
    """Takes in what follows directly: "gray" + "toned pink", "navy" + "blue"."""
    while stop < len(words) and _beside(text, words, stop - 1):
        after = stop
        while after < len(words) and spelled[after] in table.neutral and _beside(text, words, after - 1):
            after += 1
        if after >= len(words) or not _beside(text, words, after - 1):
            break
        length = _phrase_length(spelled, after, table)
        if length <= 0 or _glued(words, after, after + length):
            break
        stop = after + length
    return stop


def _colour(words: Sequence[Token], spelled: Sequence[str], first: int, stop: int, table: _Table) -> Colour:
    start = stop - 1
    while start > first and tuple(spelled[start - 1 : stop]) in table.shades:
        start -= 1
    base = table.shades[tuple(spelled[start:stop])]
    kept = [word for word in spelled[first:stop] if word not in table.neutral]
    if len(kept) > 1 and kept[-1] == base and table.shades.get(tuple(kept[:-1])) == base:
        kept = kept[:-1]  # navy blue is navy
    plain_modifier = all(word in table.ordinary for word in kept)
    shade = " ".join(kept)
    shade = table.same.get(shade, shade)
    return Colour(base, shade, words[first].start, words[stop - 1].end, sure=not plain_modifier)


def _glued(words: Sequence[Token], start: int, stop: int) -> bool:
    """The name is a part of a longer word or code: "black2go", "x1white"."""
    return words[start].joined or (stop < len(words) and words[stop].joined)


def _beside(text: str, words: Sequence[Token], index: int) -> bool:
    """Only a space or a hyphen stands between this word and the next."""
    return text[words[index].end : words[index + 1].start].strip(" \t\u00a0‐‑-") == ""


@cache
def _table() -> _Table:
    raw = load_table("colours.yaml")
    spellings = {fold(old): fold(new) for old, new in raw["spellings"].items()}

    def words(phrase: str) -> tuple[str, ...]:
        return tuple(spellings.get(token.text, token.text) for token in tokens(phrase))

    shades = {words(base): base for base in raw["families"]}
    for base, names in raw["families"].items():
        for name in names:
            shades.setdefault(words(name), base)
    return _Table(
        shades=shades,
        phrases=frozenset(map(words, raw["phrases"])),
        ordinary=frozenset(fold(word) for word in raw["ordinary"]),
        neutral=frozenset(fold(word) for word in raw["neutral"]),
        modifiers=frozenset(fold(word) for word in raw["modifiers"]),
        same={" ".join(words(name)): " ".join(words(shade)) for name, shade in raw["same"].items()},
        spellings=spellings,
    )

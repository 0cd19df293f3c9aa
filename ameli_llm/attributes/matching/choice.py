"""Which of the values that a place of a text can mean it does mean, by the words around it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ameli_llm.attributes.matching.find import Match
from ameli_llm.attributes.matching.negation import Context
from ameli_llm.attributes.matching.vocabulary import Entry, Lookup, context_words, names_key, neutral_labels
from ameli_llm.attributes.values.tokens import squash, tokens
from ameli_llm.attributes.values.units import load_table

_SMALLEST_BARE_CAPACITY = 64
"""From this number on "the 512" can only be a capacity in gigabytes."""
_LOOK_BACK = 20
_SHORTEST_APART = 5
"""Letters and digits from which on a value may be written with other spaces than on the page."""
_GOES_ON = re.compile(r"\s*(?:and\b|plus\b|[&+])", re.IGNORECASE)
_OR = re.compile(r"\s+or\s+(?:(?:the|a|an)\s+)?", re.IGNORECASE)


def choose(match: Match, text: str, context: Context) -> tuple[list[Entry], str]:
    """The entries that the place really states, and the reason why when there are none."""
    entries = list(match.entries)
    label = context.label(match.start, match.end)
    if label:
        labelled = [entry for entry in entries if names_key(label, entry.key)]
        if labelled:
            return labelled, ""
        if not label & neutral_labels():
            return [], "other_label"
    if match.form in ("quantity", "bare", "nominal"):
        return _choose_quantity(match, text, context)
    entries = [entry for entry in entries if _is_meant(match, entry, text, context)]
    return entries, "" if entries else "no_context"


def is_begun(match: Match, entry: Entry, text: str, lookup: Lookup) -> bool:
    """Whether the place may be a longer value's beginning: "bluetooth plus cable" of Bluetooth and wired."""
    if match.form not in ("words", "typo") or not _GOES_ON.match(text, match.end):
        return False
    own = entry.normal.words
    return any(
        other.key == entry.key and "and" in other.normal.words and other.normal.words[: len(own)] == own
        for entries in lookup.words.values()
        for other in entries
        if other.squash != entry.squash
    )


def undecided(stated: Sequence[Match], text: str) -> set[tuple[int, str]]:
    """Place and key of values with an "or" between them, which states neither: "ducted or ductless"."""
    keys: dict[int, set[str]] = {}
    for match in stated:
        keys.setdefault(match.start, set()).update(entry.key for entry in match.entries)
    found: set[tuple[int, str]] = set()
    for match in stated:
        if joint := _OR.match(text, match.end):
            shared = keys[match.start] & keys.get(joint.end(), set())
            found |= {(place, key) for key in shared for place in (match.start, joint.end())}
    return found


def _choose_quantity(match: Match, text: str, context: Context) -> tuple[list[Entry], str]:
    """Keys whose words stand nearest; without any, the only key that has the value."""
    around = list(enumerate(context.around(match.start, match.end), 1))
    distances = {
        entry.key: next((step for step, word in around if word in context_words(entry.key)), 0)
        for entry in match.entries
    }
    nearest = min((step for step in distances.values() if step), default=0)
    if nearest:
        return [entry for entry in match.entries if distances[entry.key] == nearest], ""
    free = [e for e in match.entries if e.normal.base not in _lists().context_dimensions]
    if match.form != "quantity":
        free = [e for e in free if _is_bare_capacity(match, e, text)]
    if not free:
        return [], "no_context"
    return (free, "") if len({entry.key for entry in free}) == 1 else ([], "ambiguous")


def _is_bare_capacity(match: Match, entry: Entry, text: str) -> bool:
    """Whether an article stands before a number that only memory has: "the 512", "a 256"."""
    if entry.normal.base != "data" or match.form != "bare":
        return False
    number = float(entry.normal.code.rsplit(" ", 1)[1])
    before = text[max(0, match.start - _LOOK_BACK) : match.start].casefold().split()
    return number >= _SMALLEST_BARE_CAPACITY and before[-1:] in (["the"], ["a"], ["my"], ["this"])


def _is_meant(match: Match, entry: Entry, text: str, context: Context) -> bool:
    """Whether the words mean the value: short ones need capitals, ordinary ones a word of the key."""
    written = text[match.start : match.end]
    lists = _lists()
    if (
        match.form == "words"
        and len(entry.squash) < _SHORTEST_APART
        and len(written.split()) > len(entry.value.split())
    ):
        return False  # "a PC" is not APC
    if entry.normal.kind == "brand":
        return _is_brand(match, entry, text, context)
    if match.form == "unsure colour" or entry.normal.code in lists.ordinary_values:
        return any(word in context_words(entry.key) for word in context.around(match.start, match.end, 2))
    return len(written) > 2 or written.isupper()


def _is_brand(match: Match, entry: Entry, text: str, context: Context) -> bool:
    """A brand that is an ordinary word needs its capital; a maker of parts must not name a part."""
    lists = _lists()
    if entry.normal.code in lists.component_brands:
        after = tokens(text[match.end : match.end + 40])
        if after and after[0].text in lists.component_words:
            return False
    before = text[max(0, match.start - _LOOK_BACK) : match.start]
    if before.casefold().split()[-1:] == ["for"]:
        return False  # what it is made for
    if entry.normal.code not in lists.ordinary_brands or text.islower():
        return True
    opens = not before.strip() or before.rstrip().endswith((".", "!", "?"))
    return text[match.start].isupper() and not (opens and " " in text.strip())


@dataclass(frozen=True)
class _Lists:
    ordinary_brands: frozenset[str]
    component_brands: frozenset[str]
    component_words: frozenset[str]
    ordinary_values: frozenset[str]
    context_dimensions: frozenset[str]


@cache
def _lists() -> _Lists:
    raw = load_table("words.yaml")

    def squashed(name: str) -> frozenset[str]:
        return frozenset(squash(entry) for entry in raw[name])

    return _Lists(
        ordinary_brands=squashed("ordinary_brands"),
        component_brands=squashed("component_brands"),
        component_words=squashed("component_words"),
        ordinary_values=squashed("ordinary_values"),
        context_dimensions=frozenset(raw["context_dimensions"]),
    )

"""The closed vocabulary of a review's candidates, arranged for looking values up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from ameli_llm.attributes.values.normalise import (
    NormalisedValue,
    alternatives,
    is_ignored,
    key_role,
    normalise,
)
from ameli_llm.attributes.values.tokens import fold, tokens
from ameli_llm.attributes.values.units import load_table
from ameli_llm.types import Vocabulary

_LONGEST_VALUE = 20
"""Words; longer values are sentences that no review repeats."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of one key: ``value`` as written (one alternative where the cell is a list)."""

    key: str
    value: str
    normal: NormalisedValue
    squash: str


@dataclass(frozen=True)
class Lookup:
    """Entries by what identifies them in a text; the lists are in the vocabulary's order."""

    quantities: Mapping[str, list[Entry]]
    colours: Mapping[str, list[Entry]]
    bases: Mapping[str, list[Entry]]
    words: Mapping[str, list[Entry]]


def arrange(vocabulary: Vocabulary) -> Lookup:
    """Looks the entries of a vocabulary up by quantity code, colour, base colour and squashed words."""
    quantities: dict[str, list[Entry]] = {}
    colours: dict[str, list[Entry]] = {}
    bases: dict[str, list[Entry]] = {}
    words: dict[str, list[Entry]] = {}
    known: set[tuple[str, str, str]] = set()
    for key, values in vocabulary.items():
        for value in values:
            for entry in _entries(key, value):
                identity = (key, entry.normal.id, entry.squash)
                if identity in known:
                    continue
                known.add(identity)
                if entry.normal.kind == "quantity":
                    quantities.setdefault(entry.normal.code, []).append(entry)
                elif entry.normal.kind == "colour":
                    colours.setdefault(entry.normal.code, []).append(entry)
                    bases.setdefault(entry.normal.base, []).append(entry)
                elif _can_be_words(entry):
                    words.setdefault(entry.squash, []).append(entry)
    return Lookup(quantities, colours, bases, words)


@lru_cache(maxsize=65_536)
def _entries(key: str, value: str) -> tuple[Entry, ...]:
    parts = [part for part in alternatives(key, value) if not is_ignored(part, key_role(key))]
    found = []
    for part in parts:
        normal = normalise(key, part)
        found.append(Entry(key, part, normal, "".join(normal.words)))
        if normal.kind == "brand" and normal.code != found[-1].squash:
            found.append(Entry(key, part, normal, normal.code))  # "HP" for Hewlett-Packard
    return tuple(found)


def _can_be_words(entry: Entry) -> bool:
    words = entry.normal.words
    alone = len(words) == 1 and words[0] in stopwords()
    return (
        len(entry.squash) > 1 and not entry.squash.isdecimal() and not alone and len(words) <= _LONGEST_VALUE
    )


@lru_cache(maxsize=4096)
def context_words(key: str) -> frozenset[str]:
    """Words that tell that a number beside them speaks of ``key``: its own and what shoppers say for it."""
    table, vague = _contexts()
    own = {token.text for token in tokens(key)}
    words = set(own)
    for phrases, said in table:
        if any(phrase <= own for phrase in phrases):
            words |= said
    return frozenset(words - vague) or frozenset(own)


def names_key(label: frozenset[str], key: str) -> bool:
    """Whether a label in front of a value ("Hard Drive: 1 TB") can mean the key."""
    own = frozenset(token.text for token in tokens(key))
    if (label - own) & _other_labels():
        return False
    if own <= label or label <= own:
        return True
    role = key_role(key)
    return bool(context_words(key) & label) or (bool(role) and role == key_role(" ".join(sorted(label))))


@cache
def neutral_labels() -> frozenset[str]:
    """Words before a colon that are no key: "Pros:", "Update:"."""
    return frozenset(fold(word) for word in load_table("words.yaml")["neutral_labels"])


@cache
def _other_labels() -> frozenset[str]:
    return frozenset(fold(word) for word in load_table("words.yaml")["other_labels"])


@cache
def stopwords() -> frozenset[str]:
    """Everyday words, folded."""
    return frozenset(fold(word) for word in load_table("words.yaml")["stopwords"])


@cache
def _contexts() -> tuple[tuple[tuple[tuple[frozenset[str], ...], frozenset[str]], ...], frozenset[str]]:
    raw = load_table("words.yaml")
    vague = frozenset(fold(word) for word in raw["vague"])
    rows = tuple(
        (
            tuple(_folded(k) for k in row["keys"]),
            frozenset(w for said in row["words"] for w in _folded(said)) - vague,
        )
        for row in raw["contexts"]
    )
    return rows, vague


def _folded(phrase: str) -> frozenset[str]:
    return frozenset(token.text for token in tokens(phrase))

"""Finds the places of known values in a text, letter by letter: how pairs and specifications become spans."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from ameli_llm.attributes.tagging.examples import Span

LONGEST = 200
"""Characters of a value that is looked for."""


def literal_spans(
    text: str, values: Mapping[str, tuple[str, ...]], left_out: Counter[str]
) -> tuple[Span, ...]:
    """Every place where a value stands as whole words, case aside; no two overlap, the longest goes first.

    Of values of the same words the attribute that comes first in ``values`` has the place. ``left_out``
    counts values by what became of them: "not in the text", "inside another value" (each of its places is
    taken).
    """
    wanted = [
        (value.strip(), attribute, rank)
        for rank, (attribute, several) in enumerate(values.items())
        for value in dict.fromkeys(several)
    ]
    taken = bytearray(len(text))
    spans: list[Span] = []
    for value, attribute, _ in sorted(wanted, key=lambda one: (-len(one[0]), one[2], one[0])):
        places = _places(text, value)
        free = [(start, end) for start, end in places if not any(taken[start:end])]
        if not places:
            left_out["value not in the text"] += 1
        elif not free:
            left_out["value inside another value"] += 1
        for start, end in free:
            taken[start:end] = b"\1" * (end - start)
            spans.append(Span(start, end, attribute))
    return tuple(sorted(spans))


def stands_in(text: str, value: str) -> bool:
    """Whether the value stands in the text as whole words, case aside."""
    return bool(_places(text, value.strip()))


def _places(text: str, value: str) -> list[tuple[int, int]]:
    if not value or len(value) > LONGEST:
        return []
    words = r"\s+".join(re.escape(word) for word in value.split())
    before = r"(?<!\w)" if value[0].isalnum() and _spaced(value[0]) else ""
    after = r"(?!\w)" if value[-1].isalnum() and _spaced(value[-1]) else ""
    return [match.span() for match in re.finditer(f"{before}{words}{after}", text, re.IGNORECASE)]


def _spaced(letter: str) -> bool:
    """Whether the letter's script puts spaces between words; Chinese and Japanese do not."""
    return not ("぀" <= letter <= "鿿" or "가" <= letter <= "힣")

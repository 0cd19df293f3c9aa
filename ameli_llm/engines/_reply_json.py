"""The JSON of a reply: the whole text, or the one value that stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ameli_llm.untrusted import read_json

_MOST_TRIED = 64
"""Places of a text where a value may begin; beyond that it is no reply but noise."""


def strict_json(text: str) -> str | None:
    """``text`` when it is a JSON object or array, else None.

    xgrammar lets a model write control characters into a string, which JSON forbids: they get escaped.
    """
    for strict in (True, False):
        try:
            value = read_json(text, strict=strict)
        except ValueError:
            continue
        if not isinstance(value, dict | list):
            return None
        return text if strict else json.dumps(value, ensure_ascii=False)
    return None


def json_within(text: str, kind: str = "object") -> str:
    """The JSON object (or "array") that stands in a text, between code fences or prose.

    Raises ValueError, with what was found in a few words, when there is none or more than one.
    """
    found = [part for part in map(strict_json, _values(text, "[" if kind == "array" else "{")) if part]
    if len(found) != 1:
        raise ValueError(f"{len(found) or 'no'} JSON {kind}{'s' if found else ''} in it")
    return found[0]


def _values(text: str, opening: str) -> Iterator[str]:
    decoder, start = json.JSONDecoder(strict=False), text.find(opening)
    for _ in range(_MOST_TRIED):
        if start < 0:
            return
        end = _end(decoder, text, start)
        if end > start:
            yield text[start:end]
        start = text.find(opening, max(end, start + 1))


def _end(decoder: json.JSONDecoder, text: str, start: int) -> int:
    """Where the value that begins at ``start`` ends; 0 when none does."""
    try:
        found: tuple[Any, int] = decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        return 0
    return found[1]

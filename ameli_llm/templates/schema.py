"""The closed JSON schema of an extraction reply, built from the attributes that are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from statistics import mean
from typing import Any

from ameli_llm.templates.budget import estimate_tokens
from ameli_llm.templates.front import ReplySchema

_QUOTATION = 7
"""Estimated tokens of a quotation with what stands around it: shoppers use few words for a value."""


def reply_schema(
    shape: ReplySchema, attributes: Mapping[str, Sequence[str]], max_tokens: int
) -> dict[str, Any]:
    """A JSON schema that admits no key and no value outside of ``attributes`` and no unbounded string.

    Every key is optional. At most ``shape.keys`` of them, and no more than fit in ``max_tokens`` when each
    has a value of its usual length (estimated), so that hardly a reply is cut off and lost; at least one. A
    quotation comes before the value it proves: the model points at the text before it decides.
    """
    properties = {key: _property(shape, list(values)) for key, values in attributes.items()}
    sizes = sorted((_size(shape, key, values) for key, values in attributes.items()), reverse=True)
    fitting = sum(1 for total in accumulate(sizes, initial=2.0) if total <= max_tokens) - 1
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "maxProperties": max(min(shape.keys, fitting), min(len(properties), 1)),
    }


def _size(shape: ReplySchema, key: str, values: Sequence[str]) -> float:
    """Estimated tokens of an entry for ``key``, whose value has the mean length of its values."""
    lengths = [estimate_tokens(json.dumps(value, ensure_ascii=False)) for value in values]
    value = mean(lengths) if lengths and shape.form != "open" else 0.0
    quotation = _QUOTATION if shape.form != "plain" else 0
    return estimate_tokens(json.dumps(key, ensure_ascii=False)) + value + quotation + 2


def _property(shape: ReplySchema, values: list[str]) -> dict[str, Any]:
    if shape.form == "plain":
        return {"enum": values}
    quote = {"type": "string", "minLength": 1, "maxLength": shape.quote}
    if shape.form == "open":
        return quote
    return {
        "type": "array",
        "prefixItems": [quote, {"enum": values}],
        "items": False,
        "minItems": 2,
        "maxItems": 2,
    }


def entry_of(part: Mapping[str, Any]) -> tuple[list[str] | None, int]:
    """What a property of ``reply_schema`` asks for: the values to choose from, None where any words do, and
    the most characters of a quotation, 0 where none is asked for."""
    if "prefixItems" in part:
        quote, value = part["prefixItems"]
        return value["enum"], quote["maxLength"]
    return part.get("enum"), part.get("maxLength", 0)


def unbounded_strings(schema: Any, path: str = "") -> Iterator[str]:
    """Paths of the strings in ``schema`` that have neither a maximal length nor a closed list of values."""
    if isinstance(schema, Mapping):
        closed = {"maxLength", "enum", "const"} & schema.keys()
        if schema.get("type") == "string" and not closed:
            yield path or "top level"
        for key, part in schema.items():
            yield from unbounded_strings(part, f"{path}.{key}" if path else str(key))
    elif isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from unbounded_strings(part, f"{path}[{index}]")

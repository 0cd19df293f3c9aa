"""The closed JSON schema of an extraction reply, built from the attributes that are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from ameli_llm.templates.budget import estimate_tokens
from ameli_llm.templates.front import ReplySchema

_QUOTE_CHARACTERS = 4
"""Characters of a quotation that make a token, on average."""


def reply_schema(
    shape: ReplySchema, attributes: Mapping[str, Sequence[str]], max_tokens: int
) -> dict[str, Any]:
    """A JSON schema that admits no key and no value outside of ``attributes`` and no unbounded string.

    Every key is optional. At most ``shape.keys`` of them, and no more than fit in ``max_tokens`` whichever
    they are (estimated), so that a reply is not cut off and lost; at least one. A quotation comes before the
    value it proves: the model points at the text before it decides.
    """
    properties = {key: _property(shape, list(values)) for key, values in attributes.items()}
    sizes = sorted((_largest(shape, key, values) for key, values in attributes.items()), reverse=True)
    fitting = sum(1 for total in accumulate(sizes, initial=2) if total <= max_tokens) - 1
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "maxProperties": max(min(shape.keys, fitting), min(len(properties), 1)),
    }


def _largest(shape: ReplySchema, key: str, values: Sequence[str]) -> int:
    """Estimated tokens of the longest entry for ``key``, its quotation in Latin letters."""
    longest = max((estimate_tokens(json.dumps(value, ensure_ascii=False)) for value in values), default=0)
    quotation = shape.quote // _QUOTE_CHARACTERS + 5 if shape.form == "quoted" else 0
    return estimate_tokens(json.dumps(key, ensure_ascii=False)) + longest + quotation + 2


def _property(shape: ReplySchema, values: list[str]) -> dict[str, Any]:
    if shape.form == "plain":
        return {"enum": values}
    quote = {"type": "string", "minLength": 1, "maxLength": shape.quote}
    return {
        "type": "array",
        "prefixItems": [quote, {"enum": values}],
        "items": False,
        "minItems": 2,
        "maxItems": 2,
    }


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

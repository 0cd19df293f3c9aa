"""What a server of the OpenAI protocol can do beyond chat, and the questions by which it is found out."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from ameli_llm.engines._canary import CHOICE
from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.untrusted import read_json


@dataclass(frozen=True)
class Abilities:
    """Whether a server holds replies to a JSON schema, gives log-probabilities, has /completions."""

    json_schema: bool = True
    logprobs: bool = True
    completions: bool = True

    def __str__(self) -> str:
        """As a part of a revision: ``+json_schema-logprobs+completions``."""
        names = ("json_schema", "logprobs", "completions")
        return "".join(("+" if has else "-") + name for name, has in zip(names, astuple(self), strict=True))


EVERYTHING = Abilities()
CHAT_ONLY = Abilities(json_schema=False, logprobs=False, completions=False)

INSTEAD = {
    "json_schema": "does not keep to a JSON schema: JSON is looked for in the text of a reply",
    "logprobs": "gives no log-probabilities: a choice is read from the text of a reply",
    "completions": "has no /completions: templates for plain completions cannot be used",
}
"""What is said of a server that lacks an ability: what is done instead."""

_PAIR = {
    "type": "array",
    "prefixItems": [{"type": "string", "minLength": 1, "maxLength": 8}, {"enum": ["Red"]}],
    "items": False,
    "minItems": 2,
    "maxItems": 2,
}
QUESTIONS = {
    "json_schema": ChatRequest(
        (Message("user", "Is seven more than five? Answer with one word."),),
        schema={
            "type": "object",
            "properties": {"Color": _PAIR},
            "required": ["Color"],
            "additionalProperties": False,
            "maxProperties": 1,
        },
        max_tokens=64,
    ),
    "logprobs": CHOICE,
    "completions": ChatRequest((Message("user", "One, two,"),), completion=True, max_tokens=1),
}
"""One for each ability. The schema is of the kind that extraction sends; nobody would answer so unasked."""

LACKING = frozenset({200, 400, 403, 404, 405, 415, 422, 500, 501})
"""Statuses by which servers say that they do not know a request; 200 has a body that is no reply."""


def kept_to_schema(text: str) -> bool:
    """Whether a reply to the question of ``json_schema`` is what its schema leaves open."""
    try:
        value = read_json(text, strict=False)
    except ValueError:
        return False
    pair = value.get("Color") if isinstance(value, dict) and len(value) == 1 else None
    return isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and pair[1] == "Red"

"""Two questions whose answers the constraint itself fixes, asked before a run."""

from __future__ import annotations

import json

from ameli_llm.engines._reply import one_line
from ameli_llm.engines.engine import ChatRequest, Engine, Message
from ameli_llm.errors import AmeliError

CHOICE = ChatRequest(
    (Message("user", "Which letter comes first in the alphabet? Answer A or B."),), choices=("A", "B")
)
_SCHEMA = ChatRequest(
    (Message("user", 'Answer with the JSON object {"state": "ready"}.'),),
    schema={
        "type": "object",
        "properties": {"state": {"type": "string", "enum": ["ready"]}},
        "required": ["state"],
        "additionalProperties": False,
    },
    max_tokens=64,
)


def check(engine: Engine, where: str, hint: str) -> None:
    """Asks one choice and one schema question. Raises AmeliError that names ``where`` and what came back.

    Even a model that knows nothing passes: what is tested is that the engine answers, honours both kinds of
    constraint, ends by itself and gives log-probabilities.
    """
    choice, schema = engine.chat([CHOICE, _SCHEMA])
    for kind, reply in (("choice", choice), ("JSON schema", schema)):
        if reply.failure:
            raise AmeliError(f"{where} failed the {kind} test: {reply.failure.message}.", hint=hint)
    if json.loads(schema.text) != {"state": "ready"}:
        raise AmeliError(
            f"{where} does not keep to a JSON schema: it said {one_line(schema.text)}.", hint=hint
        )

"""The right answers to what the linker asks, as the facts of a review decide them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ameli_llm.attributes.values.normalise import normalise
from ameli_llm.comparison.entail import EntailAsk
from ameli_llm.engines.engine import ChatRequest
from ameli_llm.instruction.told import Fact, Told
from ameli_llm.templates.schema import entry_of
from ameli_llm.templates.text import one_line

SEPARATORS = (",", ":")
"""JSON as the engines let it be written: without white space."""


def choice(told: Told, meaning: Mapping[str, int | None]) -> str | None:
    """The choice for the one candidate that the facts leave, "none of these" when they leave none.

    Where somebody has answered already, that answer.

    ``meaning`` gives the candidate's position by choice. None where the facts do not decide: several
    candidates are left, or nothing speaks for the one that is.
    """
    if told.answered:
        return next((name for name, at in meaning.items() if at == told.chosen), None)
    shown = {at for at in meaning.values() if at is not None}
    left = [at for at in told.possible if at in shown]
    if len(left) == 1 and left[0] in told.agreeing:
        return next(name for name, at in meaning.items() if at == left[0])
    if not left and None in meaning.values():
        return next(name for name, at in meaning.items() if at is None)
    return None


def entailment(told: Told, ask: EntailAsk) -> str | None:
    """The first choice (yes), the second (no) or the third (open), as the facts about the key say.

    None where a fact agrees in part, such as another shade of a colour, and where the template has no third
    choice for what is open.
    """
    yes, no, *rest = ask.request.choices
    bearing = told.bearing(ask.key, ask.values)
    if bearing is None or (bearing == "open" and not rest):
        return None
    return {"for": yes, "against": no, "open": rest[0] if rest else ""}[bearing]


def extraction(told: Told, request: ChatRequest) -> str:
    """The JSON object of the stated values, in the order and within the bounds of the request's schema.

    A quotation is the fact's; one that is longer than the schema allows, or that stands in a part of the
    review that the prompt leaves out, is no answer, and its value is left out.
    """
    schema = request.schema or {}
    prompt = one_line(request.messages[-1].content)
    found: dict[str, Any] = {}
    for shown, part in schema.get("properties", {}).items():
        values, longest = entry_of(part)
        for fact in told.facts:
            value = _value(shown, values, fact)
            if (
                value is not None
                and len(fact.quote) <= (longest or len(prompt))
                and one_line(fact.quote) in prompt
            ):
                found[shown] = fact.quote if values is None else [fact.quote, value] if longest else value
                break
    kept = dict(list(found.items())[: schema.get("maxProperties")])
    return json.dumps(kept, ensure_ascii=False, separators=SEPARATORS)


def _value(shown: str, values: list[str] | None, fact: Fact) -> str | None:
    """The listed value that means what the fact states of the key; the fact's where none is listed."""
    if fact.denied or one_line(fact.key) != shown:
        return None
    if values is None:
        return fact.value
    meant = normalise(fact.key, fact.value)
    return next((value for value in values if normalise(fact.key, value) == meant), None)

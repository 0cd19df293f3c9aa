"""How the tests ask a scripted server as one of the OpenAI protocol: what it can do is part of the script."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ameli_llm.engines.openai import OpenAIServer
from tests.engines.asking import opened
from tests.engines.scripted import Answer, said

HELLO = said("hello")
WORDS = said("Yes.")
REFUSED = Answer(400, {"error": {"message": "Unknown parameter"}})
COMPLETED = Answer(body={"choices": [{"text": " three,", "finish_reason": "length"}]})

A = said("A")
A_OR_B = said("A", A=-0.1, B=-3.0)
HELD = said('{"Color": ["Yes", "Red"]}')

FIRST = "Which letter comes first"
"""How the question begins that is asked of every server, and again by every canary."""


def able(
    answer: Answer | Callable[[dict[str, Any]], Answer] = HELLO,
    *,
    first: Answer = A,
    json_schema: Answer = HELD,
    logprobs: Answer = A_OR_B,
    completions: Answer = COMPLETED,
) -> Callable[[dict[str, Any]], Answer]:
    """Answers the questions by which abilities are found out, and gives ``answer`` to all others."""

    def reply(body: dict[str, Any]) -> Answer:
        asked = body.get("prompt") or body["messages"][-1]["content"]
        if asked == "One, two,":
            return completions
        if asked.startswith("Is seven more"):
            return json_schema
        if asked.startswith(FIRST):
            return logprobs if "logprobs" in body else first
        return answer if isinstance(answer, Answer) else answer(body)

    return reply


def chat_only(answer: Answer = HELLO) -> Callable[[dict[str, Any]], Answer]:
    """A server that passes over what it does not know, and has no other path than chat."""
    return able(answer, json_schema=WORDS, logprobs=A, completions=Answer(404))


engine = partial(opened, OpenAIServer)

"""Judges a raw answer by its request's constraint: the rules are the same for every engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ameli_llm.engines import choices
from ameli_llm.engines._reply_json import json_within, strict_json
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.types import Failure, State, Usage

_LONGEST_MESSAGE = 300
_LONGEST_TOKEN = 1024
"""Characters; the vocabularies in use have runs of up to some hundred blanks or dashes as one token."""


def one_line(text: object) -> str:
    """``text`` in one printable line of at most 300 characters: messages quote servers and models."""
    words = " ".join(str(text)[: 10 * _LONGEST_MESSAGE].split())
    line = "".join(character if character.isprintable() else "\ufffd" for character in words)
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 3] + "..."


def engine_error(message: object, usage: Usage = Usage()) -> ChatReply:
    """The reply of a request that got no answer."""
    return ChatReply(usage=usage, failure=Failure(State.ENGINE_ERROR, one_line(message)))


def text_reply(
    request: ChatRequest, text: str, finish_reason: str, usage: Usage, held: bool = True
) -> ChatReply:
    """The reply to a request without choices.

    INVALID_OUTPUT when it is cut off, empty, longer than ``max_tokens`` can be, or no JSON object or array
    although a schema was given; whether the JSON fits the schema is for the caller to check, who parses it.
    ``held`` says whether the model was held to the schema; otherwise the JSON may stand in other text.
    A plain completion has no end of its own, so that ``max_tokens`` ends it without harm.
    """
    if len(text) > request.max_tokens * _LONGEST_TOKEN:
        problem = f"reply of {len(text)} characters, more than max_tokens={request.max_tokens} can be"
        return _judged(request, ChatReply(usage=usage, finish_reason=finish_reason), problem)
    problem = ""
    plain = request.completion and request.schema is None
    json_text, no_json = _json_of(request, text, held)
    if finish_reason == "length" and not plain:
        problem = f"reply cut off at max_tokens={request.max_tokens}"
    elif not text.strip():
        problem = f"empty reply (finish reason {finish_reason!r})"
    elif no_json:
        problem = f"reply {no_json}: {text!r}"
    return _judged(request, ChatReply(json_text or text, None, usage, finish_reason), problem)


def choice_reply(
    request: ChatRequest, text: str, tokens: Iterable[tuple[str, float]], finish_reason: str, usage: Usage
) -> ChatReply:
    """The reply to a request with choices, from the (token, log-probability) pairs of its first position.

    Engines ask for a single token, so that "length" is the ordinary end. INVALID_OUTPUT when the text is none
    of the choices, when there are no log-probabilities at all, or when a choice has none because it is longer
    than a token.
    """
    given = list(tokens)
    logprobs = choices.from_tokens(request.choices, given)
    missing = [choice for choice in request.choices if choice not in logprobs]
    problem = ""
    if not given:
        problem = "reply has no log-probabilities; choices need an engine that gives them"
    elif missing:
        problem = f"choice {missing[0]!r} is not one token of the model; use one-letter labels"
    elif text not in request.choices:
        problem = f"reply {text!r} is none of the choices"
    finish_reason = "stop" if finish_reason == "length" else finish_reason
    return _judged(request, ChatReply(text, logprobs, usage, finish_reason), problem)


def free_choice_reply(
    request: ChatRequest,
    text: str,
    tokens: Sequence[tuple[str, float]] | None,
    finish_reason: str,
    usage: Usage,
) -> ChatReply:
    """The reply to a request with choices of a model that was not held to them: one, or INVALID_OUTPUT.

    With the first position's ``tokens`` it is the likeliest of them (``choices.listed``). None: there are no
    log-probabilities, and the text has to be a choice, but for blanks and signs around it.
    """
    if tokens is None:
        chosen = choices.named(request.choices, text)
        logprobs = choices.stated(request.choices, chosen) if chosen else {}
    else:
        logprobs = choices.listed(request.choices, tokens)
        chosen = max(logprobs, key=logprobs.__getitem__, default=None)
    problem = "" if chosen else f"reply {text!r} is none of the choices"
    if tokens is not None and not tokens:
        problem = "reply has no log-probabilities, and the server gave some before"
    finish_reason = "stop" if finish_reason == "length" else finish_reason
    return _judged(request, ChatReply(chosen or text, logprobs, usage, finish_reason), problem)


def scored_reply(logprobs: Sequence[float], finish_reason: str, usage: Usage) -> ChatReply:
    """The reply to a request that is scored, from the log-probability of each token of its text.

    INVALID_OUTPUT for a text without a token.
    """
    if not logprobs:
        problem = Failure(State.INVALID_OUTPUT, "there is no text to score")
        return ChatReply(usage=usage, finish_reason=finish_reason, failure=problem)
    total = math.fsum(max(choices.MASKED, value) for value in logprobs)
    return ChatReply(usage=usage, finish_reason="stop", logprob=total)


def _json_of(request: ChatRequest, text: str, held: bool) -> tuple[str | None, str]:
    """The JSON that a schema asks for, and what is wrong when there is none."""
    if request.schema is None:
        return None, ""
    if held:
        found = strict_json(text)
        return found, "" if found else "is not JSON"
    try:
        return json_within(text, str(request.schema.get("type", "object"))), ""
    except ValueError as error:
        return None, f"has {error}"


def _judged(request: ChatRequest, reply: ChatReply, problem: str) -> ChatReply:
    if not problem:
        return reply
    where = f"template {request.template}: " if request.template else ""
    failure = Failure(State.INVALID_OUTPUT, one_line(where + problem))
    return ChatReply(reply.text, None, reply.usage, reply.finish_reason, failure)

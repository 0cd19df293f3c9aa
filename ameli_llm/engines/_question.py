"""Requests as servers take them: bodies of /v1/chat/completions and /v1/completions, vLLM's /tokenize too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ameli_llm.engines._abilities import Abilities
from ameli_llm.engines.engine import ChatRequest

_MOST_TOP_LOGPROBS = 20  # the protocol's limit, and a vLLM server's default (--max-logprobs)
_STATED_CHOICE = 8
"""Tokens of a reply whose text is the choice: enough to tell "A" from "A good blender"."""
_PLAIN_SAMPLING = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Overrides the model folder's generation_config.json, which the server would apply otherwise."""


def standard_body(model: str, request: ChatRequest, can: Abilities) -> dict[str, Any]:
    """The whole question in fields of the protocol alone: hosted servers refuse a request with others.

    A completion has no constraint, a choice none either: with log-probabilities it is the first token.
    """
    question = {"model": model} | _asked(request) | _drawn(request)
    if request.choices and can.logprobs and not request.completion:
        return question | {"max_tokens": 1, "logprobs": True, "top_logprobs": _MOST_TOP_LOGPROBS}
    if request.choices:
        return question | {"max_tokens": _STATED_CHOICE}
    if request.schema is not None and can.json_schema and not request.completion:
        # Where "strict" is known, it refuses schemas with optional keys.
        return question | _json_schema(request.schema, strict=False)
    return question


def prompt(request: ChatRequest) -> dict[str, Any]:
    """What is asked of a vLLM server: of a completion its text, else the messages."""
    asked = _asked(request)
    return asked if request.completion else asked | {"chat_template_kwargs": {"enable_thinking": False}}


def scored(request: ChatRequest) -> dict[str, Any]:
    """The text that a request wants scored, for a vLLM server's /tokenize."""
    return {"prompt": _clean(request.messages[-1].content), "add_special_tokens": False}


def body(model: str, request: ChatRequest) -> dict[str, Any]:
    """The whole question to a vLLM server, with its constraint and how the answer is drawn.

    Of a request to be scored all but the prompt, which is tokens.
    """
    if request.scored:
        return {"model": model, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    question = {"model": model} | prompt(request) | _sampling(request) | _constraint(request)
    if request.choices and request.completion:
        return question | {"logprobs": _top_logprobs(request)}
    if request.choices:
        return question | {"logprobs": True, "top_logprobs": _top_logprobs(request)}
    return question


def _asked(request: ChatRequest) -> dict[str, Any]:
    if request.completion:
        return {"prompt": _clean(request.messages[-1].content)}
    messages = request.messages[:-1] if request.scored else request.messages
    return {"messages": [{"role": m.role, "content": _clean(m.content)} for m in messages]}


def _sampling(request: ChatRequest) -> dict[str, Any]:
    return _PLAIN_SAMPLING | _drawn(request)


def _drawn(request: ChatRequest) -> dict[str, Any]:
    return {
        "max_tokens": 1 if request.choices else request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
    }


def _constraint(request: ChatRequest) -> dict[str, Any]:
    if request.choices:
        return {"structured_outputs": {"choice": list(request.choices)}}
    if request.schema is not None:
        return _json_schema(request.schema, strict=True)
    return {}


def _json_schema(schema: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    named = {"name": "reply", "schema": dict(schema), "strict": strict}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _top_logprobs(request: ChatRequest) -> int:
    # Twice the choices leaves room for tokens that only begin a choice, or spell it in bytes.
    count = len(request.choices)
    return max(count, min(2 * count, _MOST_TOP_LOGPROBS))


def _clean(text: str) -> str:
    # Half of a surrogate pair, as broken input has it, cannot be sent as UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")

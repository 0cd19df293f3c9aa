"""Requests as a vLLM server takes them: bodies of /v1/chat/completions, /v1/completions and /tokenize."""

from __future__ import annotations

from typing import Any

from ameli_llm.engines.engine import ChatRequest

_MOST_TOP_LOGPROBS = 20  # the server's default limit (--max-logprobs)
_PLAIN_SAMPLING = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Overrides the model folder's generation_config.json, which the server would apply otherwise."""


def prompt(request: ChatRequest) -> dict[str, Any]:
    """What is asked: of a completion its text, else the messages."""
    if request.completion:
        return {"prompt": _clean(request.messages[-1].content)}
    messages = [{"role": m.role, "content": _clean(m.content)} for m in request.messages]
    return {"messages": messages, "chat_template_kwargs": {"enable_thinking": False}}


def body(model: str, request: ChatRequest) -> dict[str, Any]:
    """The whole question, with its constraint and how the answer is drawn."""
    question = {"model": model} | prompt(request) | _sampling(request) | _constraint(request)
    if request.choices and request.completion:
        return question | {"logprobs": _top_logprobs(request)}
    if request.choices:
        return question | {"logprobs": True, "top_logprobs": _top_logprobs(request)}
    return question


def _sampling(request: ChatRequest) -> dict[str, Any]:
    return _PLAIN_SAMPLING | {
        "max_tokens": 1 if request.choices else request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
    }


def _constraint(request: ChatRequest) -> dict[str, Any]:
    if request.choices:
        return {"structured_outputs": {"choice": list(request.choices)}}
    if request.schema is not None:
        schema = {"name": "reply", "schema": dict(request.schema), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {}


def _top_logprobs(request: ChatRequest) -> int:
    # Twice the choices leaves room for tokens that only begin a choice, or spell it in bytes.
    count = len(request.choices)
    return max(count, min(2 * count, _MOST_TOP_LOGPROBS))


def _clean(text: str) -> str:
    # Half of a surrogate pair, as broken input has it, cannot be sent as UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")

"""Whether requests fit into a model's context, and by how much they do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ameli_llm.engines.engine import ChatRequest

_CHAT_TEMPLATE = 256
"""More tokens than a chat template adds to a request's own text."""

Count = Callable[[Sequence[ChatRequest]], Sequence[int]]
"""Tokens of each request's prompt, chat template included."""


def excess(requests: Sequence[ChatRequest], context: int | None, count: Count) -> list[int]:
    """By how many tokens each prompt and its reply together exceed ``context``; 0 when they fit.

    Only those are counted that could be too long: a token is at least a byte. Nothing is when the context is
    not known (None).
    """
    found = [0] * len(requests)
    if context is None:
        return found
    doubtful = [at for at, request in enumerate(requests) if most_tokens(request) > context]
    if doubtful:
        counted = count([requests[at] for at in doubtful])
        for at, tokens in zip(doubtful, counted, strict=True):
            found[at] = max(0, tokens + requests[at].max_tokens - context)
    return found


def most_tokens(request: ChatRequest) -> int:
    """Tokens that a request can take in any tokenizer: its bytes, the chat template, the longest reply."""
    text = sum(len(message.content.encode("utf-8", "replace")) for message in request.messages)
    return text + _CHAT_TEMPLATE + request.max_tokens

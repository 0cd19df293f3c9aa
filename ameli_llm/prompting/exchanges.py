"""Requests to a model with their replies, as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ameli_llm.engines.engine import ChatReply, Exchange, Message

SHORT = 3
"""Lines in common with the request before, below which a message is shown whole."""


def as_text(exchanges: Sequence[Exchange], templates: Mapping[str, str]) -> str:
    """Each message under its role, then the reply with its tokens, seconds and log-probabilities.

    A message that begins like the one before it is shown from where it differs. ``templates`` maps the
    identity of a template to its name.
    """
    return "\n\n".join(
        "\n".join(_lines(exchanges, number, templates)) for number in range(1, len(exchanges) + 1)
    )


def _lines(exchanges: Sequence[Exchange], number: int, templates: Mapping[str, str]) -> Iterator[str]:
    one = exchanges[number - 1]
    template = templates.get(one.request.template) or one.request.template[:12] or "none"
    yield f"=== request {number} of {len(exchanges)}: {one.asked_by}, template {template}"
    before = exchanges[number - 2].request.messages if number > 1 else ()
    for at, message in enumerate(one.request.messages):
        yield _message(message, before[at].content if at < len(before) else "", number - 1)
    yield from _score(one.reply) if one.request.scored else _reply(one.reply)


def _message(message: Message, before: str, number: int) -> str:
    lines, known = message.content.split("\n"), before.split("\n")
    pairs = enumerate(zip(lines, known, strict=False))
    same = next((at for at, (a, b) in pairs if a != b), min(len(lines), len(known)))
    if same < SHORT:
        return f"--- {message.role}\n{message.content}"
    if same == len(lines):
        return f"--- {message.role}, as in request {number}"
    rest = "\n".join(lines[same:])
    return f"--- {message.role}, after {same} lines as in request {number}\n{rest}"


def _score(reply: ChatReply) -> Iterator[str]:
    if reply.logprob is not None:
        yield f"--- log-probability of the last message ({_took(reply)}): {reply.logprob:.2f}"
    if reply.failure:
        yield f"--- {reply.failure.state}: {reply.failure.message}"


def _took(reply: ChatReply) -> str:
    took = "from the cache" if reply.from_cache else f"{reply.seconds or 0.0:.2f} s"
    return f"{reply.usage.prompt} + {reply.usage.completion} tokens, {took}"


def _reply(reply: ChatReply) -> Iterator[str]:
    yield f"--- reply ({_took(reply)}, finish reason {reply.finish_reason or 'none'})\n{reply.text}"
    if reply.choice_logprobs:
        ordered = sorted(reply.choice_logprobs.items(), key=lambda pair: -pair[1])
        yield f"--- log-probabilities: {', '.join(f'{choice} {value:.2f}' for choice, value in ordered)}"
    if reply.failure:
        yield f"--- {reply.failure.state}: {reply.failure.message}"

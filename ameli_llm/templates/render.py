"""A template and its values in, the messages of a chat out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2.exceptions import TemplateError

from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.errors import AmeliError
from ameli_llm.templates.budget import estimate_tokens
from ameli_llm.templates.front import LIKELIHOOD
from ameli_llm.templates.load import Template
from ameli_llm.templates.text import clean, one_line

MAX_CHARACTERS = 200_000
_MULTI_LINE = frozenset({"review"})


def render(template: Template, values: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages: one per block, system before user, and the assistant's, which is to be scored, last.

    Every string in ``values``, however deep, is made safe first (``ameli_llm.templates.text``): only
    ``review`` keeps its line breaks. Values are never read as templates. Raises AmeliError that names the
    template when it asks for a field that is not there or grows without bound.
    """
    safe = {
        name: _safe(value, name in _MULTI_LINE) for name, value in values.items() if name in template.used
    }
    context = template.compiled.new_context(safe)
    messages = []
    try:
        for role in ("system", "user", "assistant"):
            if role in template.compiled.blocks:
                text = _bounded(template.compiled.blocks[role](context), template.name)
                messages.append(Message(role, text.strip("\n")))
    except (TemplateError, TypeError, ValueError, AttributeError) as error:
        said = f"Template {template.name}: {error}"
        raise AmeliError(said if said.endswith((".", "?")) else f"{said}.") from error
    return tuple(messages)


def request(
    template: Template,
    values: Mapping[str, Any],
    *,
    choices: tuple[str, ...] = (),
    schema: Mapping[str, Any] | None = None,
) -> ChatRequest:
    """The request that asks the rendered template with the sampling of its front matter."""
    sampling = template.front.sampling
    return ChatRequest(
        messages=render(template, values),
        schema=schema,
        choices=choices,
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        completion=template.front.method == "completion",
        scored=template.front.method == LIKELIHOOD,
        template=template.identity,
    )


def prompt_estimate(template: Template, values: Mapping[str, Any]) -> int:
    """Estimated prompt tokens of the rendered template."""
    return sum(estimate_tokens(message.content) for message in render(template, values))


def _bounded(pieces: Iterable[str], name: str) -> str:
    kept: list[str] = []
    length = 0
    for piece in pieces:
        kept.append(piece)
        length += len(piece)
        if length > MAX_CHARACTERS:
            raise AmeliError(f"Template {name}: renders to more than {MAX_CHARACTERS} characters.")
    return "".join(kept)


def _safe(value: Any, multi_line: bool) -> Any:
    if isinstance(value, str):
        return clean(value) if multi_line else one_line(value)
    if isinstance(value, Mapping):
        return {str(key): _safe(item, False) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(item, False) for item in value]
    if value is None or isinstance(value, int | float):
        return value
    raise TypeError(f"a template value cannot be a {type(value).__name__}")

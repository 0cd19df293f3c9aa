"""What a template would send for one review, made by the code that sends it and without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.prompting.example import vocabulary_of
from ameli_llm.templates.budget import estimate_tokens
from ameli_llm.templates.front import EXTRACT
from ameli_llm.templates.load import load_template
from ameli_llm.templates.schema import entry_of
from ameli_llm.types import Failure, State


class Recorder:
    """An engine that writes down what it is asked and answers nothing."""

    name = "recorder"
    origin = name
    model = ""
    revision = ""
    batch_size = 1
    workers = 1

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """Keeps the requests; every reply is a failure."""
        self.requests.extend(requests)
        return [ChatReply(failure=Failure(State.ENGINE_ERROR, "not sent")) for _ in requests]

    def taken(self) -> list[ChatRequest]:
        """The requests since the last call."""
        taken, self.requests = self.requests, []
        return taken

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Everything fits."""
        return [0 for _ in requests]

    def canary(self) -> None:
        """Nothing to check."""

    def close(self) -> None:
        """Nothing to free."""


class Cramped(Recorder):
    """A recorder with no room at all: it is asked for the least that its templates can do with."""

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Nothing fits."""
        return [1 for _ in requests]


def preview(name: str, task: ComparisonTask, folder: Path | None = None) -> list[ChatRequest]:
    """The requests that template ``name`` leads to for ``task``. Raises AmeliError like the template."""
    from ameli_llm.attributes import llm
    from ameli_llm.comparison import entail, likelihood, listwise, pairwise

    method = load_template(name, folder).front.method
    recorder = Recorder()
    if method in EXTRACT:
        extractor = llm.create(recorder, name, prompts=folder)
        extractor.extract([ExtractionTask(task.review, vocabulary_of(task))])
    else:
        modules = {"listwise": listwise, "pairwise": pairwise, "entail": entail, "likelihood": likelihood}
        modules[method].create(recorder, name, prompts=folder).compare([task])
    return recorder.requests


def estimate(request: ChatRequest) -> int:
    """Estimated prompt tokens of a request."""
    return sum(estimate_tokens(message.content) for message in request.messages)


def as_text(requests: Sequence[ChatRequest]) -> str:
    """The requests as people read them: messages under their role, then the constraint."""
    parts = []
    for number, request in enumerate(requests, start=1):
        head = f"=== request {number} of {len(requests)}"
        parts.append(f"{head} (about {estimate(request)} prompt tokens, {_mode(request)})")
        parts.extend(f"--- {message.role}\n{message.content}" for message in request.messages)
        if request.choices:
            parts.append(f"--- choices\n{' '.join(request.choices)}")
        if request.schema is not None:
            parts.append(f"--- reply\n{_shape(request.schema)}")
    return "\n".join(parts) + "\n"


def _mode(request: ChatRequest) -> str:
    if request.scored:
        return "the last message is scored, nothing comes back"
    return f"at most {request.max_tokens} back{', plain completion' if request.completion else ''}"


def as_json(requests: Sequence[ChatRequest]) -> list[dict[str, Any]]:
    """The requests as JSON values."""
    return [
        {
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "schema": request.schema,
            "choices": list(request.choices),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "completion": request.completion,
            "scored": request.scored,
            "template": request.template,
            "prompt_tokens_estimate": estimate(request),
        }
        for request in requests
    ]


def _shape(schema: Mapping[str, Any]) -> str:
    lines = [f"at most {schema['maxProperties']} of these keys"]
    for key, part in schema["properties"].items():
        values, longest = entry_of(part)
        asked = [f"quotation of 1 to {longest} characters"] if longest else []
        asked += [f"one of {', '.join(map(repr, values))}"] if values is not None else []
        lines.append(f"{key}: {', then '.join(asked)}")
    return "\n".join(lines)

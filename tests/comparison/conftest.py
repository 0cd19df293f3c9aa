"""A scripted model: scores the choices of each request by a function of its prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pytest

from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.engines.choices import normalise
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.types import Product, Review, Usage

Answer = Mapping[str, float] | ChatReply


class ScriptedModel:
    """Answers with normalised log-probabilities: those of a mapping, 0 for choices it leaves out."""

    name, model, revision, batch_size, workers = "scripted", "m", "1", 1, 1

    def __init__(self, answer: Callable[[ChatRequest], Answer]) -> None:
        self.answer = answer
        self.requests: list[ChatRequest] = []

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        self.requests.extend(requests)
        return [self._reply(request) for request in requests]

    def _reply(self, request: ChatRequest) -> ChatReply:
        answer = self.answer(request)
        if isinstance(answer, ChatReply):
            return answer
        logprobs = normalise({choice: answer.get(choice, 0.0) for choice in request.choices})
        best = max(logprobs, key=lambda choice: logprobs[choice])
        return ChatReply(best, logprobs, Usage(100, 1), "stop")

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        return [0 for _ in requests]

    def canary(self) -> None:
        """Nothing to check."""

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def scripted() -> type[ScriptedModel]:
    return ScriptedModel


@pytest.fixture
def blenders() -> ComparisonTask:
    """Three blenders in two colours and two sizes; the review is about the red one of 2 quarts."""
    return ComparisonTask(
        Review(7, "Nice", "My red blender takes 2 quarts.", "blender"),
        (Product(30, "Breeze Black"), Product(10, "Breeze Red"), Product(20, "Breeze Red Large")),
        (
            {"Color": ("Black",), "Capacity": ("1.5 quarts",), "Brand": ("Acme",)},
            {"Color": ("Red",), "Capacity": ("1.5 qt",), "Brand": ("ACME",)},
            {"Color": ("Red",), "Capacity": ("2 quarts",)},
        ),
    )


@pytest.fixture
def bad_replies() -> dict[str, ChatReply]:
    """Replies that no comparator may take for an answer."""
    usage = Usage(100, 1)
    logprobs = {"A": -1.0, "B": -1.0, "Y": -1.0, "N": -1.0}
    return {
        "is none of": ChatReply("The answer is A", logprobs, usage, "stop"),
        "'' is none of": ChatReply("", {}, usage, "length"),
        "no log-probability for": ChatReply("A", {"A": math.nan}, usage, "stop"),
    }

"""Prompts for a model with a short context: less of the review and its candidates, never an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ameli_llm.attributes import llm
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.comparison import entail, listwise, pairwise
from ameli_llm.engines.engine import ChatRequest
from ameli_llm.prompting.example import crowded, example, unspeakable, vocabulary_of
from ameli_llm.prompting.preview import Cramped, Recorder, preview
from ameli_llm.templates.budget import estimate_tokens
from ameli_llm.templates.front import Limits

COMPARATORS: dict[str, Any] = {"listwise": listwise, "pairwise": pairwise, "entail": entail}
NAMES = ("extract/json", "extract/terse", *(f"compare/{name}" for name in COMPARATORS))


class Short(Recorder):
    """Records; a prompt has as many tokens as signs, and it and its reply must fit into ``context``."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        sizes = [sum(len(m.content) for m in request.messages) + request.max_tokens for request in requests]
        return [max(0, size - self.context) for size in sizes]


def asked(name: str, recorder: Recorder, *tasks: Any) -> list[ChatRequest]:
    if name.startswith("extract"):
        extractor = llm.create(recorder, name)
        extractor.extract([ExtractionTask(task.review, vocabulary_of(task)) for task in tasks])
    else:
        COMPARATORS[name.partition("/")[2]].create(recorder, name).compare(tasks)
    return recorder.taken()


def test_limits_shrink_to_the_least() -> None:
    limits = Limits(prompt=650, review=240, keys=8, values=10, value=24, name=48)
    assert limits.shrunk(0.5) == Limits(prompt=650, review=120, keys=4, values=5, value=12, name=24)
    assert limits.shrunk(0) == Limits(prompt=650, review=8, keys=0, values=1, value=4, name=4)


@pytest.mark.parametrize("name", NAMES)
def test_with_room_a_prompt_is_what_it_was(name: str) -> None:
    for task in (example(), crowded()):
        assert asked(name, Short(100_000), task) == preview(name, task)


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_shrinks_until_it_fits(name: str) -> None:
    before = preview(name, crowded())
    longest = max(sum(len(m.content) for m in request.messages) + request.max_tokens for request in before)
    least = max(
        sum(len(m.content) for m in request.messages) + request.max_tokens
        for request in asked(name, Cramped(), crowded())
    )
    assert least < longest / 1.5
    sizes = []
    for context in (longest, longest - 1, (longest + least) // 2, least):
        sent = asked(name, Short(context), crowded())
        assert sent
        assert not any(Short(context).excess(sent))
        sizes.append(sum(len(m.content) for request in sent for m in request.messages))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[1]


def test_only_what_is_too_long_shrinks() -> None:
    recorder = Short(1800)
    short, long = asked("compare/listwise", recorder, example(), crowded())
    assert [short] == preview("compare/listwise", example())
    assert [long] != preview("compare/listwise", crowded())
    assert "A. " in long.messages[1].content
    assert "J. " in long.messages[1].content


def test_what_does_not_fit_at_the_least_is_still_asked() -> None:
    """The engine's refusal is then on record; a template for which that holds is refused beforehand."""
    assert asked("compare/listwise", Short(10), example())


def test_the_least_in_costly_signs_takes_more_than_in_others() -> None:
    def size(task: Any) -> int:
        (request,) = asked("compare/listwise", Cramped(), task)
        return sum(len(message.content.encode()) for message in request.messages)

    assert size(unspeakable(10)) > size(crowded(10))


def test_a_long_list_of_what_is_stated_does_not_outgrow_the_review() -> None:
    from dataclasses import replace

    from ameli_llm.types import AttributeValue, Evidence

    values = tuple(
        AttributeValue(f"Property {number}", "value", "rules", Evidence("body", 0, 1, "I"))
        for number in range(8)
    )
    task = replace(crowded(), extracted=values)
    (full,) = preview("compare/listwise", task)
    (least,) = asked("compare/listwise", Cramped(), task)
    assert "Property 7: value" in full.messages[1].content
    assert "Property 7: value" not in least.messages[1].content
    assert estimate_tokens(least.messages[1].content) < 150

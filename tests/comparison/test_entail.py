"""Entailment: one question for each statement in which candidates differ."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest

from ameli_llm.comparison import entail
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.types import Product, Review, State, Usage


def statement(request: ChatRequest) -> str:
    found = re.search(r"^Statement: (.*)$", request.messages[1].content, re.MULTILINE)
    return found.group(1) if found else ""


def test_scores_add_up_over_statements_that_are_asked_once(scripted: Any, blenders: ComparisonTask) -> None:
    odds = {"is Red.": {"Y": 3.0}, "is Black.": {"N": 2.0}, "is 1.5 qt.": {"N": 1.0}, "is 2 quarts.": {}}
    engine = scripted(lambda r: next(o for end, o in odds.items() if statement(r).endswith(end)))
    result = entail.create(engine=engine, template="", orders=1, seed=0).compare([blenders])[0]
    assert [statement(request) for request in engine.requests] == [
        "the Capacity of the product is 1.5 qt.",
        "the Capacity of the product is 2 quarts.",
        "the Color of the product is Black.",
        "the Color of the product is Red.",
    ]
    assert result.scores == pytest.approx((-3.0, 2.0, 3.0))
    assert (result.none_score, result.usage, result.orders, result.flips) == (None, Usage(400, 4), 1, 0)
    assert engine.requests[0].choices == ("Y", "N", "U")


def test_a_candidate_without_the_attribute_gets_nothing_for_it(scripted: Any) -> None:
    products = (Product(1, "a"), Product(2, "b"), Product(3, "c"))
    task = ComparisonTask(
        Review(1, "", "x"), products, ({"Color": ("Red",)}, {"Color": ("Black",)}, {"Brand": ("A",)})
    )
    result = entail.create(scripted(lambda _: {"N": 1.0})).compare([task])[0]
    assert result.scores == pytest.approx((-1.0, -1.0, 0.0))


def test_nothing_differs(scripted: Any, blenders: ComparisonTask) -> None:
    engine = scripted(lambda _: {})
    same = dataclasses.replace(blenders, attributes=({},) * 3)
    assert entail.create(engine).compare([same])[0].scores == (0.0, 0.0, 0.0)
    assert engine.requests == []


def test_a_statement_without_a_mention_speaks_of_the_product(scripted: Any, blenders: ComparisonTask) -> None:
    engine = scripted(lambda _: {})
    entail.create(engine).compare([dataclasses.replace(blenders, review=Review(1, "", "x"))])
    assert statement(engine.requests[0]) == "the Capacity of the product is 1.5 qt."


@pytest.mark.parametrize("reason", ["is none of", "'' is none of", "no log-probability for"])
def test_replies_that_are_no_answer(
    scripted: Any, blenders: ComparisonTask, bad_replies: Mapping[str, ChatReply], reason: str
) -> None:
    reply = dataclasses.replace(bad_replies[reason], text=bad_replies[reason].text.replace("A", "Y", 1))
    result = entail.create(scripted(lambda _: reply)).compare([blenders])[0]
    assert result.failure is not None
    assert result.failure.state is State.INVALID_OUTPUT
    assert (result.scores, result.usage) == ((), Usage(400, 4))

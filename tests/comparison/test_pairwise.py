"""Pairwise comparison: every candidate against the first by retrieval."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from ameli_llm.comparison import pairwise
from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.types import Product, Review, State, Usage


def lines(request: ChatRequest) -> dict[str, str]:
    return dict(re.findall(r"^([AB])\. (.*)$", request.messages[1].content, re.MULTILINE))


def prefers(text: str) -> Any:
    return lambda request: {label: 2.0 for label, line in lines(request).items() if text in line}


def test_scores_are_log_odds_over_the_first(scripted: Any, blenders: ComparisonTask) -> None:
    engine = scripted(prefers("Large"))
    result = pairwise.create(engine=engine, template="", orders=1, seed=0).compare([blenders])[0]
    assert result.scores == pytest.approx((0.0, 0.0, 2.0))
    assert (result.none_score, result.usage, result.orders, result.flips) == (None, Usage(200, 2), 1, 0)
    assert [set(lines(request).values()) for request in engine.requests] == [
        {"Breeze Black | Black", "Breeze Red | Red"},
        {"Breeze Black | 1.5 quarts | Black", "Breeze Red Large | 2 quarts | Red"},
    ]


def test_two_orders_cancel_a_bias_for_the_first_place(scripted: Any, blenders: ComparisonTask) -> None:
    engine = scripted(lambda _: {"A": 3.0})
    result = pairwise.create(engine, orders=2, seed=5).compare([blenders])[0]
    assert result.scores == pytest.approx((0.0, 0.0, 0.0))
    first = [lines(request)["A"].partition(" |")[0] for request in engine.requests]
    assert first.count("Breeze Black") == 2


def test_one_candidate_needs_no_question(scripted: Any) -> None:
    engine = scripted(lambda _: {})
    tasks = [ComparisonTask(Review(1, "", "x"), (Product(1, "a"),) * n, ({},) * n) for n in (1, 0)]
    one, none = pairwise.create(engine).compare(tasks)
    assert (one.scores, none.scores, engine.requests) == ((0.0,), (), [])


@pytest.mark.parametrize("reason", ["is none of", "'' is none of", "no log-probability for"])
def test_replies_that_are_no_answer(
    scripted: Any, blenders: ComparisonTask, bad_replies: Mapping[str, ChatReply], reason: str
) -> None:
    result = pairwise.create(scripted(lambda _: bad_replies[reason])).compare([blenders])[0]
    assert result.failure is not None
    assert result.failure.state is State.INVALID_OUTPUT
    assert reason in result.failure.message
    assert (result.scores, result.usage) == ((), Usage(200, 2))

"""Right answers: what facts decide, and what they leave open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ameli_llm.comparison import entail
from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.instruction import answers
from ameli_llm.instruction.told import Fact, Told
from ameli_llm.prompting.preview import Recorder
from tests.instruction.conftest import AMBER, NOT_COBALT, TWO, told


@pytest.mark.parametrize(
    ("facts", "ids", "answer"),
    [
        ((AMBER, TWO), (1, 2, 3, 4), "B"),  # the second of the four
        ((AMBER, NOT_COBALT, TWO), (3, 4, 2), "C"),
        ((NOT_COBALT, TWO), (1, 2, 3, 4), "B"),
        ((AMBER,), (1, 2, 3, 4), None),  # two are amber
        ((), (1, 2, 3, 4), None),
        ((), (2,), None),  # nothing speaks for the only one
        ((AMBER, TWO), (1, 3, 4), "0"),  # none is amber and of two litres
    ],
)
def test_the_one_candidate_that_is_left(
    facts: tuple[Fact, ...], ids: tuple[int, ...], answer: str | None
) -> None:
    meaning: dict[str, int | None] = {"ABCD"[at]: at for at in range(len(ids))}
    assert answers.choice(told(*facts, ids=ids), {**meaning, "0": None}) == answer


def test_a_pair_has_no_answer_where_both_are_wrong() -> None:
    assert answers.choice(told(AMBER, TWO), {"A": 2, "B": 3}) is None
    assert answers.choice(told(AMBER, TWO), {"A": 2, "B": 1}) == "B"


def test_an_answer_that_was_given_counts() -> None:
    given = replace(told(AMBER, TWO), chosen=3, answered=True)
    assert answers.choice(given, {"A": 0, "B": 3, "0": None}) == "B"
    assert answers.choice(given, {"A": 0, "B": 1}) is None
    none = replace(told(AMBER, TWO), answered=True)
    assert answers.choice(none, {"A": 0, "0": None}) == "0"
    assert answers.choice(none, {"A": 0, "B": 1}) is None


def test_statements(whole: Told) -> None:
    asked = entail.create(Recorder()).asks(whole.task())
    found = {(ask.key, *ask.values): answers.entailment(whole, ask) for ask in asked}
    assert found == {
        ("Hue", "Amber"): "Y",
        ("Hue", "Cobalt"): "N",
        ("Volume", "1 L"): "N",
        ("Volume", "2 L"): "Y",
    }
    silent = {(ask.key, *ask.values): answers.entailment(told(NOT_COBALT), ask) for ask in asked}
    assert silent == {
        ("Hue", "Amber"): "U",
        ("Hue", "Cobalt"): "N",
        ("Volume", "1 L"): "U",
        ("Volume", "2 L"): "U",
    }


def request(form: str, **limits: int) -> ChatRequest:
    values: dict[str, list[str]] = {"Volume": ["1 L", "2 L"], "Hue": ["Amber", "Cobalt"]}
    properties: dict[str, Any] = {
        key: {"enum": listed}
        if form == "plain"
        else {"maxLength": limits.get("quote", 32)}
        if form == "open"
        else {"prefixItems": [{"maxLength": limits.get("quote", 32)}, {"enum": listed}]}
        for key, listed in values.items()
    }
    schema = {"properties": properties, "maxProperties": limits.get("keys", 5)}
    return ChatRequest((Message("user", f"<review>\n{told().review.body}\n</review>"),), schema=schema)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (request("quoted"), '{"Volume":["Two liter","2 L"],"Hue":["amber","Amber"]}'),
        (request("plain"), '{"Volume":"2 L","Hue":"Amber"}'),
        (request("open"), '{"Volume":"Two liter","Hue":"amber"}'),
        (request("open", quote=5), '{"Hue":"amber"}'),
        (request("quoted", keys=1), '{"Volume":["Two liter","2 L"]}'),
        (request("quoted", quote=5), '{"Hue":["amber","Amber"]}'),
    ],
)
def test_extraction_in_the_order_of_the_schema(whole: Told, asked: ChatRequest, answer: str) -> None:
    assert answers.extraction(whole, asked) == answer


def test_what_the_prompt_does_not_show_is_no_answer(whole: Told) -> None:
    cut = ChatRequest((Message("user", "Took amber"),), schema=request("quoted").schema)
    assert answers.extraction(whole, cut) == '{"Hue":["amber","Amber"]}'
    assert answers.extraction(told(NOT_COBALT), request("quoted")) == "{}"

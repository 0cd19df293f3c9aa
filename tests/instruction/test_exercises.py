"""Exercises are what the linker sends, for templates whose answers follow from facts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.instruction.exercises import Exercises
from ameli_llm.instruction.told import Told
from ameli_llm.prompting.preview import preview
from tests.instruction.conftest import NOT_COBALT, told

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("extract/json", {'{"Hue":["amber","Amber"],"Volume":["Two liter","2 L"]}'}),
        ("extract/open", {'{"Hue":"amber","Volume":"Two liter"}'}),
        ("extract/terse", {'{"Hue":"Amber","Volume":"2 L"}'}),
        ("compare/entail", {"Y", "N"}),
        ("compare/listwise", {"A", "B", "C", "D"}),
        ("compare/pairwise", {"A", "B"}),
    ],
)
def test_each_template_has_its_answers(name: str, answers: set[str], whole: Told) -> None:
    exercise = Exercises(name).of([whole], RNG(0))
    assert exercise is not None
    assert exercise.template == name
    assert {example.answer for example in exercise.examples} <= answers


def test_prompts_are_those_of_the_linker(whole: Told) -> None:
    (example,) = Exercises("extract/json").of([whole], RNG(0)).examples  # type: ignore[union-attr]
    (sent,) = preview("extract/json", whole.task())
    assert example.request == sent


def test_answers_are_balanced() -> None:
    silent = told(NOT_COBALT)  # one N and three U
    exercise = Exercises("compare/entail", most=2).of([silent], RNG(0))
    assert exercise is not None
    assert Counter(example.answer for example in exercise.examples) == {"N": 1, "U": 1}


def test_reviews_of_the_same_candidates_are_read_together(whole: Told) -> None:
    silent = told(body="Nothing about it.")
    exercise = Exercises("extract/json").of([whole, silent], RNG(0))
    assert exercise is not None
    assert [example.answer for example in exercise.examples] == [
        '{"Hue":["amber","Amber"],"Volume":["Two liter","2 L"]}',
        "{}",
    ]
    first, second = (
        example.request.messages[1].content.split("<review>")[0] for example in exercise.examples
    )
    assert first == second


def test_nothing_decided_is_no_exercise() -> None:
    assert Exercises("compare/listwise").of([told()], RNG(0)) is None
    empty = Exercises("extract/json").of([told()], RNG(0))
    assert empty is not None
    assert [example.answer for example in empty.examples] == ["{}"]


def test_own_templates(tmp_path: Path, whole: Told) -> None:
    folder = tmp_path / "extract"
    folder.mkdir()
    text = Path("prompts/extract/terse.j2").read_text(encoding="utf-8")
    (folder / "mine.j2").write_text(text.replace("Report as one JSON", "Give as one JSON"), encoding="utf-8")
    exercise = Exercises("extract/mine", tmp_path).of([whole], RNG(0))
    assert exercise is not None
    assert exercise.examples[0].request.messages[0].content.startswith("Give as one JSON")


def test_a_template_without_derivable_answers_is_refused() -> None:
    with pytest.raises(AmeliError) as caught:
        Exercises("extract/gpt2")
    assert str(caught.value) == (
        "The answers to template 'extract/gpt2' cannot be derived from facts: its method is completion. "
        "Train for templates of the methods json, entail, listwise, pairwise."
    )

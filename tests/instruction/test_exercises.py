"""Exercises are what the linker sends, for templates whose answers follow from facts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
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
        "Train for templates of the methods json, entail, listwise, pairwise, likelihood."
    )


def test_a_review_is_to_be_written_after_the_page_of_its_product(whole: Told) -> None:
    about = [replace(whole, product=at, read=False, invented=False) for at in range(len(whole.candidates))]
    exercise = Exercises("compare/likelihood").of(about, RNG(0))
    assert exercise is not None
    sent = preview("compare/likelihood", whole.task())
    for example, request in zip(exercise.examples, sent, strict=True):
        assert example.request.messages == request.messages[:-1]
        assert example.answer == request.messages[-1].content
        assert not example.request.scored


def test_of_an_unknown_product_nothing_is_to_be_written(whole: Told) -> None:
    written = replace(whole, invented=False)
    assert written.product is None
    assert Exercises("compare/likelihood").of([written], RNG(0)) is None


def test_what_nobody_wrote_is_not_to_be_written(whole: Told) -> None:
    made = replace(whole, product=0)
    exercise = Exercises("compare/likelihood").of([made, replace(made, invented=False)], RNG(0))
    assert exercise is not None
    assert len(exercise.examples) == 1
    assert Exercises("compare/likelihood").of([made], RNG(0)) is None


def test_what_nobody_has_read_teaches_only_its_own_words(whole: Told) -> None:
    unread = replace(whole, product=0, read=False, invented=False)
    for name in ("extract/json", "compare/entail", "compare/listwise"):
        assert Exercises(name).of([unread], RNG(0)) is None
        assert Exercises(name).of([unread, whole], RNG(0)) is not None
    assert Exercises("compare/likelihood").of([unread], RNG(0)) is not None

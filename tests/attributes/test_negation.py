"""Sentences and how one value in them stands; the value is marked with brackets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ameli_llm.attributes.matching.negation import Context


def marked(sentence: str) -> tuple[str, int, int]:
    start = sentence.index("[")
    end = sentence.index("]") - 1
    return sentence.replace("[", "").replace("]", ""), start, end


@pytest.mark.parametrize(
    ("sentence", "standing"),
    [
        ("I love the [red] kettle", "stated"),
        ("not the [red] one", "denied"),
        ("It isn't [black].", "denied"),
        ("It isn’t [black].", "denied"),
        ("It isnt [black].", "denied"),
        ("it does not come in [blue]", "denied"),
        ("not red or [black]", "denied"),
        ("not the red one, it's [black]", "stated"),
        ("Not only [black] but shiny", "stated"),
        ("No, [black] is great", "stated"),
        ("I don't like the [black] finish", "stated"),
        ("whether or not the [JBL] is on", "stated"),
        ("I took the red instead of the [blue]", "denied"),
        ("rather than [blue]", "denied"),
        ("Skip the [12 speed], the 6 speed is worth it", "denied"),
        ("Skip the 12 speed, the [6 speed] is worth it", "stated"),
        ("came the same day as the [white] kettle", "other_product"),
        ("wish it came in [blue]", "denied"),
        ("I wanted the [512] but got the 1tb", "denied"),
        ("I wanted the 512 but got the [1tb]", "stated"),
        ("I ordered the [red] one and I am happy", "stated"),
        ("the [red] one was sold out", "denied"),
        ("I wanted the [14.5 cu. ft.] size but got the 18.2", "denied"),
        ("I got the 14.5 cu. ft. It is not [black]", "denied"),
        ("should have gone for the [purple], they did not have it", "denied"),
        ("they were out of the [red] so I settled for the blue", "denied"),
        ("out of the box the [black] finish shines", "stated"),
        ("with that out of the way I am not impressed by the [Acme]", "stated"),
        ("they were out of the [red]", "denied"),
        ("they were out of the red so I settled for the [blue]", "stated"),
        ("my sister has the [red], mine is the blue", "other_product"),
        ("my sister has the red, mine is the [blue]", "stated"),
        ("My old [Acme] kettle broke", "other_product"),
        ("My old Acme broke. This [Bosch] is great", "stated"),
        ("my old Acme broke but this [Bosch] is great", "stated"),
        ("smaller than my [Bosch]", "other_product"),
        ("compared to the [Bosch]", "other_product"),
        ("works with my [Dell] laptop", "other_product"),
        ("replaced my [Dell]", "other_product"),
        ("for use with [Epson] printers", "other_product"),
    ],
)
def test_standing(sentence: str, standing: str) -> None:
    text, start, end = marked(sentence)
    assert Context(text).standing(start, end) == standing


@pytest.mark.parametrize(
    ("sentence", "label"),
    [
        ("Nice. Hard Drive: [1 TB]", {"hard", "drive"}),
        ("Color: Black; Size: [M]", {"size"}),
        ("I bought it at noon on the very last day: [red]", set()),
        ("no label [red]", set()),
    ],
)
def test_label(sentence: str, label: set[str]) -> None:
    text, start, end = marked(sentence)
    assert Context(text).label(start, end) == label


def test_words_around_end_at_numbers_and_commas() -> None:
    text, start, end = marked("cheap 8gb ram [512GB] ssd, fast")
    assert Context(text).around(start, end) == ["ssd", "ram"]


@given(st.text(max_size=80), st.integers(0, 90), st.integers(1, 20))
def test_any_span_of_any_text_has_a_standing(text: str, start: int, length: int) -> None:
    context = Context(text)
    assert context.standing(start, start + length) in ("stated", "denied", "other_product")
    context.label(start, start + length)
    context.around(start, start + length)

"""Files of annotated texts: what is read, what is learned from them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.instruction.annotated import Annotated, AnnotatedText, exchanged, read_annotated, told_of
from ameli_llm.instruction.exercises import Exercises
from ameli_llm.instruction.sources import Source, sources_of

TEXTS = [
    {
        "text": f"Umbra {noun} {shade}, {size} in",
        "category": noun,
        "attributes": {"Shade": shade, "Rim": f"{size} in", "Maker": "Umbra", "Sport": None},
        "alternatives": {"Rim": [str(size)]},
    }
    for noun in ("Wheel", "Bowl")
    for shade in ("amber", "plum", "teal")
    for size in (8, 12, 16, 20)
]


def written(folder: Path, *lines: Any) -> Path:
    path = folder / "texts.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def titles(source: Source) -> set[str]:
    """The texts that stand beside those asked about, which are never exchanged."""
    return {product.name for row in range(60) for one in source.told(row) for product in one.candidates}


def test_what_is_read(tmp_path: Path) -> None:
    first = read_annotated(written(tmp_path, *TEXTS))[0]
    assert (first.text, first.category) == ("Umbra Wheel amber, 8 in", "Wheel")
    assert first.values == {"Shade": ("amber",), "Rim": ("8 in", "8"), "Maker": ("Umbra",), "Sport": ()}


def test_what_is_learned(tmp_path: Path) -> None:
    source = Annotated(read_annotated(written(tmp_path, *TEXTS)), 0)
    told = source.told(3)
    assert told == source.told(3) != source.told(4)
    assert len({one.candidates for one in told}) == 1
    exercise = Exercises("extract/open").of(told, np.random.default_rng(0))
    assert exercise is not None
    for one, example in zip(told, exercise.examples, strict=True):
        assert "Attributes: Rim, Shade\n" in example.request.messages[1].content, (
            "one maker tells nothing apart"
        )
        _, noun, shade, size = one.review.body.replace(",", "").split(maxsplit=3)
        assert json.loads(example.answer) == {"Rim": size, "Shade": shade}
        assert {product.leaf_category for product in one.candidates} == {noun}


def test_a_tenth_is_judged_on(tmp_path: Path) -> None:
    path = written(tmp_path, *TEXTS)
    train, dev = sources_of([path], 5)
    seen = titles(train[0])
    held = {one.review.body for row in range(60) for one in dev[0].told(row)}
    assert len(held) == 2
    assert seen == {text["text"] for text in TEXTS} - held


def test_texts_of_one_category_can_be_asked_together(tmp_path: Path) -> None:
    texts = read_annotated(written(tmp_path, *TEXTS))[:12]
    told = told_of(texts[:3], texts[3:])
    assert [one.review.body for one in told] == [text.text for text in texts[:3]]
    assert all(len(one.candidates) == 9 for one in told)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is not JSON: "),
        ('{"text": "", "category": "a", "attributes": {}}', "line 2: text: "),
        ('{"text": "a", "attributes": {}}', "line 2: category: Field required."),
        ('{"text": "a", "category": "a", "attributes": {"k": 3}}', "line 2: attributes.k: "),
        ("[" * 200 + "]" * 200, "line 2 is nested more than 64 deep."),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = written(tmp_path, TEXTS[0])
    path.write_text(path.read_text("utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(AmeliError) as caught:
        sources_of([path], 0)
    assert says in str(caught.value)


def test_an_empty_file_and_none(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="has no annotated text"):
        read_annotated(written(tmp_path))
    with pytest.raises(AmeliError, match="Cannot read"):
        read_annotated(tmp_path)


def test_exchanged_values_stand_where_the_text_had_its_own(tmp_path: Path) -> None:
    texts = read_annotated(written(tmp_path, *TEXTS))[:12]
    rng = np.random.default_rng(0)
    made = [exchanged(text, texts, rng) for text in texts]
    for one in made:
        shade, rim = one.values["Shade"][0], one.values["Rim"][0]
        assert one.text == f"Umbra Wheel {shade}, {rim}"
    assert [one.text for one in made] != [text.text for text in texts]


def test_what_is_said_twice_or_overlaps_is_not_exchanged() -> None:
    text = AnnotatedText(
        "Red Red Sox cap", "Cap", {"Color": ("Red",), "Team": ("Red Sox",), "Kind": ("Sox cap",)}
    )
    other = AnnotatedText("Blue", "Cap", {"Color": ("Blue",), "Team": ("Mets",), "Kind": ("hat",)})
    assert exchanged(text, [other], np.random.default_rng(0)) == text


def test_only_training_exchanges_values(tmp_path: Path) -> None:
    different = [text for at, text in enumerate(TEXTS) if at % 12 in (0, 5, 10)]
    known = {text["text"] for text in different}
    train, dev = sources_of([written(tmp_path, *different)], 5)
    assert {one.review.body for row in range(60) for one in dev[0].told(row)} <= known
    bodies = [one.review.body for row in range(60) for one in train[0].told(row)]
    assert 0.2 < sum(body not in known for body in bodies) / len(bodies) < 0.5

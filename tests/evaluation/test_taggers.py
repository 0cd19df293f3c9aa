"""Scores of trained extractors, by the examples of the papers, and their tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.attributes.tagging.examples import LabelledText, Span
from ameli_llm.attributes.tagging.tags import Found
from eval.published import published
from eval.taggers.rows import ROWS, chosen
from eval.taggers.scores import accuracy_of, scores
from tests.attributes.tagging_world import span, tiny_bert
from tests.command import command

TEXT = "blue jeans match blue spirits"
GOLD = LabelledText(TEXT, (Span(0, 4, "Color"),))
FIRST, SECOND, SPIRITS = Span(0, 4, "Color"), Span(17, 21, "Color"), Span(22, 29, "Color")


@pytest.mark.parametrize(
    ("found", "right"),
    [
        ([FIRST, SECOND], 1),  # Liu et al., appendix A.3: prediction (1), repeated values are one
        ([FIRST], 1),
        ([FIRST, SPIRITS], 0),  # (2), one too many
        ([], 0),  # (3), none
        ([Span(17, 29, "Color")], 0),  # (3), "blue spirits"
        ([FIRST, Span(5, 10, "Type"), SECOND], 1),  # (4), attributes beyond the annotated do not count
    ],
)
def test_accuracy_as_the_paper_shows_it(found: list[Span], right: int) -> None:
    assert accuracy_of(GOLD, Found(tuple(found))) == (right, 1)


def test_accuracy_of_pairs_that_have_no_place() -> None:
    gold = LabelledText(TEXT, (FIRST,), pairs={"Color": ("Blue",), "Dye": ("blue",), "Age": ()})
    assert accuracy_of(gold, Found((FIRST,))) == (1, 2)


def test_scores_by_eye() -> None:
    gold = [
        LabelledText(TEXT, (FIRST, span(TEXT, "jeans", "Type")), name="a"),
        LabelledText(TEXT, (FIRST,), name="a"),
        LabelledText("nothing", name="b"),
    ]
    found = [
        Found((FIRST, Span(5, 16, "Type")), frozenset({"Color", "Type"})),
        Found((), frozenset({"Type"})),
        Found((Span(0, 7, "Type"),), frozenset()),
    ]
    made = scores(gold, found)
    assert made.precision.value == 1 / 3
    assert made.recall.value == 1 / 3
    assert made.tag_f1.value == 2 * 1 / (3 + 3)
    assert made.cls_f1 is not None
    assert made.cls_f1.value == 2 * 2 / (3 + 3)
    assert made.accuracy.value == 1 / 3
    assert (made.texts, made.values, made.pairs) == (3, 3, 3)
    assert (made.tag_f1.n, made.accuracy.n) == (3, 2)
    assert made.tag_f1.low <= made.tag_f1.value <= made.tag_f1.high
    assert scores(gold, [Found(one.spans) for one in found]).cls_f1 is None


def test_every_row_of_ours_is_published() -> None:
    assert set(ROWS) <= set(published("mepave").rows)
    assert published("mepave").values("mjave") == {"cls_f1": 90.69, "tag_f1": 87.17}
    assert published("mae").values("uls_dram") == {"accuracy": 79.20}


def test_rows_by_name() -> None:
    assert chosen(["all"]) == tuple(ROWS)
    assert chosen(["mjave", "jave"]) == ("jave", "mjave")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    lines = "".join(
        f"c_{n}\ts_{n}\ta {colour} bag\ta <Colour>{colour}</Colour> bag\n"
        for n, colour in enumerate(4 * ("red", "blue", "green"))
    )
    for name in ("train", "valid", "test"):
        (folder / f"jdai.jave.fashion.{name}.sample").write_text(lines, encoding="utf-8")
    return folder


def test_the_table_of_mepave(data: Path, tmp_path: Path) -> None:
    words: tuple[Any, ...] = ("reproduce", "mepave", data, "--out", tmp_path / "out", "--json")
    words += ("--encoder", tiny_bert(tmp_path / "bert"), "--epochs", 12, "--set", "learning_rate=0.02")
    words += ("--set", "batch_size=4", "--set", "max_tokens=20")
    made = command(*words, "--rows", "jave", "--rows", "mjave").json
    (row,) = made["rows"]
    assert (row["key"], row["title"], row["texts"]) == ("jave", "JAVE", 12)
    assert row["tag_f1"]["value"] == row["cls_f1"]["value"] == row["accuracy"]["value"] == 1.0
    assert row["published"]["figures"][0]["values"] == {"cls_f1": 87.98, "tag_f1": 84.78}
    assert "M-JAVE was not run: no training text has a picture." in made["notes"]
    assert "not on the same data" in made["caption"]
    written = (tmp_path / "out" / "mepave.md").read_text(encoding="utf-8")
    assert "| ULS-DRAM | T+V | - | - | - | - | - | 97.65 | 95.89 | 97.86 | 96.86 |" in written
    again = command(*words, "--rows", "jave")
    assert again.json["rows"] == made["rows"]
    assert "training steps" not in again.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rows", "mjve"), "No row named 'mjve'."),
        (("--rows", "mjave"), "No row can be trained: mjave look at pictures"),
        (("--rows", "jave", "--set", "epochs"), "--set 'epochs' is not KEY=VALUE."),
        (("--rows", "jave", "--set", "epochs=0"), "epochs: Input should be greater than or equal to 1."),
        (("--rows", "jave", "--set", "epoch=1"), "No setting named 'epoch'."),
    ],
)
def test_wrong_words(words: tuple[str, ...], said: str, data: Path, tmp_path: Path) -> None:
    done = command("reproduce", "mepave", data, "--out", tmp_path, *words)
    assert done.error.startswith(said)


def test_train_says_what_it_did(data: Path, tmp_path: Path) -> None:
    words = ("train", "mjave", data, "--out", tmp_path / "out", "--encoder", tiny_bert(tmp_path / "bert"))
    words += ("--image-encoder", "none", "--epochs", "2", "--set", "max_tokens=20")
    done = command(*words)
    assert done.code == 0, done
    assert f"attributes.trained: {{mjave: {tmp_path / 'out'}}}" in done.out
    assert "nothing was done" in command(*words).out


def test_the_table_of_mae(tmp_path: Path) -> None:
    """A row that the paper does not have stands behind its own."""
    data = tmp_path / "data"
    data.mkdir()
    lines = [
        json.dumps({"text": f"a {colour} bag", "specs": {"Colour": colour, "Age": "9"}})
        for colour in ("red", "blue", "green", "red")
    ]
    for name in ("train", "valid", "test"):
        (data / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    words: tuple[Any, ...] = ("reproduce", "mae", data, "--out", tmp_path / "out", "--json", "--epochs", 20)
    words += ("--encoder", tiny_bert(tmp_path / "bert"), "--set", "max_tokens=20", "--rows", "uls_l")
    made = command(
        *words, "--set", "learning_rate=0.01", "--set", "batch_size=4", "--set", "frozen=true"
    ).json
    (row,) = made["rows"]
    assert (row["title"], row["pairs"], row["cls_f1"]) == ("ULS-L", 4, None)
    assert row["accuracy"]["value"] == 1.0
    assert made["left_out"] == {"value not in the text": 12}
    assert made["not_run"] == ["mae_model", "mjave_lstm", "mjave", "uls_dram"]
    written = (tmp_path / "out" / "mae.md").read_text(encoding="utf-8")
    assert "| ULS-DRAM | T+V | - | - | 79.20 |" in written
    assert "| ULS-L | T | 100.00 [" in written

"""Labelled texts: what is read of each format, how values find their places, and what is wrong with files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.attributes.tagging.examples import LabelledText, Span, attribute_names, divided
from ameli_llm.attributes.tagging.literal import literal_spans
from ameli_llm.attributes.tagging.marked import unmarked
from ameli_llm.attributes.tagging.reading import read_corpus
from ameli_llm.errors import AmeliError

MEPAVE = (
    "c_1\ts_1\t圆领拼接连衣裙\t<领型>圆领</领型><风格>拼接</风格>连衣裙\n"
    "c_1\ts_2\tV领 < 裙\t<领型>V领</领型> < 裙\n"
    "c_2\ts_3\t也有活力\t也有活力\n"
)


@pytest.mark.parametrize(
    ("marked", "text", "spans"),
    [
        ("<领型>圆领</领型>裙", "圆领裙", [(0, 2, "领型")]),
        ("a <C>red</C><M>silk</M> bag", "a redsilk bag", [(2, 5, "C"), (5, 9, "M")]),
        ("size < 5 and > 3", "size < 5 and > 3", []),
        ("<Pant Length>long</Pant Length>", "long", [(0, 4, "Pant Length")]),
    ],
)
def test_tags_become_spans(marked: str, text: str, spans: list[tuple[int, int, str]]) -> None:
    assert unmarked(marked) == (text, tuple(Span(*span) for span in spans))


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        ("<C>red <M>silk</M></C>", "line 2: <M> stands inside <C>: values do not nest."),
        ("<C>red</M>", "line 2: </M> closes <C>."),
        ("red</C>", "line 2: </C> closes no tag."),
        ("<C>red", "line 2: <C> is never closed."),
        ("<C></C>red", "line 2: the value in <C> is empty."),
        ("<C>blue</C>", "line 2: without its tags the fourth column is 'blue', and the third is 'red'."),
    ],
)
def test_a_wrong_line_of_mepave_is_named(marked: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "all.tsv"
    path.write_text(f"1\t1\ta\ta\n2\t2\tred\t{marked}\n", encoding="utf-8")
    with pytest.raises(AmeliError) as error:
        read_corpus(path)
    assert f"all.tsv, {said}" in str(error.value)


def test_columns_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "all.tsv"
    path.write_text("1\t1\ta\ta\n1\t2\tb\n", encoding="utf-8")
    with pytest.raises(AmeliError, match=r"line 2: 3 columns instead of 4\. Product id"):
        read_corpus(path)


def test_a_folder_of_mepave(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        (tmp_path / f"jdai.jave.fashion.{name}.sample").write_text(MEPAVE, encoding="utf-8")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "images" / "c_1.jpg")
    corpus = read_corpus(tmp_path)
    assert corpus.kind == "mepave"
    assert {name: len(texts) for name, texts in corpus.splits.items()} == {"train": 3, "dev": 3, "test": 3}
    first, second, third = corpus.split("dev")
    assert first.values == {"领型": ("圆领",), "风格": ("拼接",)}
    assert (second.text, second.spans) == ("V领 < 裙", (Span(0, 2, "领型"),))
    assert (first.image, third.image) == (tmp_path / "images" / "c_1.jpg", None)
    assert attribute_names(corpus.split("train")) == ("领型", "风格")
    assert attribute_names(corpus.split("train"), 2) == ("领型",)
    (tmp_path / "train.tsv").write_text(MEPAVE, encoding="utf-8")
    with pytest.raises(AmeliError, match="has several files for train: jdai"):
        read_corpus(tmp_path)


def test_texts_of_one_product_stay_in_one_split(tmp_path: Path) -> None:
    path = tmp_path / "all.tsv"
    lines = [f"c_{n // 4}\ts_{n}\tred {n}\t<C>red</C> {n}\n" for n in range(80)]
    path.write_text("".join(lines), encoding="utf-8")
    corpus = read_corpus(path, seed=5)
    names = {split: {text.name for text in texts} for split, texts in corpus.splits.items()}
    assert {split: len(found) for split, found in names.items()} == {"train": 16, "dev": 2, "test": 2}
    assert names["train"] | names["dev"] | names["test"] == {f"c_{n}" for n in range(20)}
    assert read_corpus(path, seed=5) == corpus != read_corpus(path, seed=6)


@pytest.mark.parametrize(
    ("text", "values", "spans", "left"),
    [
        ("Red shoe, red sole", {"C": ("red",)}, [(0, 3, "C"), (10, 13, "C")], {}),
        ("navy blue", {"C": ("blue", "navy blue")}, [(0, 9, "C")], {"value inside another value": 1}),
        ("covered", {"C": ("red",)}, [], {"value not in the text": 1}),
        ("M, not XM", {"Size": ("M",)}, [(0, 1, "Size")], {}),
        ("steel  wool", {"M": ("steel wool",)}, [(0, 11, "M")], {}),
        ("红色裙", {"C": ("红色",)}, [(0, 2, "C")], {}),
        ("black", {"A": ("black",), "B": ("black",)}, [(0, 5, "A")], {"value inside another value": 1}),
    ],
)
def test_values_find_their_places(
    text: str, values: Any, spans: list[tuple[int, int, str]], left: dict[str, int]
) -> None:
    left_out: Counter[str] = Counter()
    assert literal_spans(text, values, left_out) == tuple(Span(*span) for span in spans)
    assert left_out == left


def test_pairs_of_mae(tmp_path: Path) -> None:
    records = [
        {
            "text": "A red bag.",
            "specs": {"Color": "Red", "Age": "5", "Dye": "red"},
            "images": ["http://a/b/1.png"],
        },
        {"tokens": ["a", "blue", "bag"], "specs": {"Color": ["blue", "navy"]}, "images": ["2.png"]},
        {"text": "A bag.", "specs": {"Color": "green"}},
    ]
    (tmp_path / "images").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "images" / "1.png")
    for name, content in (("train", json.dumps(records)), ("test", "\n".join(map(json.dumps, records)))):
        (tmp_path / f"{name}.json").write_text(content, encoding="utf-8")
    corpus = read_corpus(tmp_path)
    assert corpus.kind == "mae"
    first, second = corpus.split("test")
    assert corpus.split("train")[0].spans == first.spans == (Span(2, 5, "Color"),)
    # A place has one tag, but both attributes have their pair; a value that is not stated has none.
    assert first.pairs == {"Color": ("Red",), "Dye": ("red",)}
    assert (second.text, second.pairs) == ("a blue bag", {"Color": ("blue",)})
    assert (first.image, second.image) == (tmp_path / "images" / "1.png", None)
    assert corpus.left_out["product without a stated value"] == 2


def test_wrong_pairs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text('{"text": "a", "specs": {}}\n{"text": "a", "specs": {"A": {"b": 1}}}\n', encoding="utf-8")
    with pytest.raises(AmeliError, match=r"all\.json, record 2: specs\.A"):
        read_corpus(path)


def test_products_label_their_own_texts(tmp_path: Path) -> None:
    product = {
        "id": 7,
        "product_name": "Acme kettle red",
        "product_category": "Kettles",
        "overview_section": {"description": "Boils 1.7 l of water. In red or in blue!"},
        "Spec": [{"subsection": "All", "text": [{"specification": "Color", "value": "Red"}]}],
    }
    (tmp_path / "products.json").write_text(json.dumps([product]), encoding="utf-8")
    corpus = read_corpus(tmp_path)
    assert corpus.kind == "dataset"
    texts = [(text.text, [text.text[s.start : s.end] for s in text.spans]) for text in corpus.splits["train"]]
    assert ("Acme kettle red", ["red"]) in texts
    assert {text.name for text in corpus.splits["train"]} == {"product 7"}


def test_real_titles(shared_data: Path) -> None:
    corpus = read_corpus(shared_data / "oa_mine" / "dev" / "extraction.jsonl")
    assert corpus.kind == "annotated"
    assert {name: len(texts) for name, texts in corpus.splits.items()} == {
        "train": 1157,
        "dev": 145,
        "test": 145,
    }
    assert corpus.left_out == {"value not in the text": 3, "value inside another value": 1}


def test_what_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="No labelled texts at"):
        read_corpus(tmp_path)
    (tmp_path / "note.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(AmeliError, match=r"note\.txt is in no format that is known"):
        read_corpus(tmp_path / "note.txt")
    with pytest.raises(AmeliError, match=r"has no text in split 'dev'\. It has: train \(1\)"):
        divided("mepave", [LabelledText("a")]).split("dev")
    with pytest.raises(AmeliError, match="None of the 1 texts states a value"):
        attribute_names([LabelledText("a")])
    with pytest.raises(ValueError, match="on another value"):
        LabelledText("red", (Span(0, 2, "A"), Span(1, 3, "B")))

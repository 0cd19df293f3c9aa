"""Sheets for people tell nothing of gold, and answers that come back are held against the key."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ameli_llm.dataset.construction.human.agreement import agreement, cohen, fleiss
from ameli_llm.dataset.construction.human.answers import Annotator, Key, read_answers, read_key
from ameli_llm.dataset.construction.human.sheet import SheetSettings, write_sheets
from ameli_llm.dataset.construction.human.verified import Keep, write_verified
from ameli_llm.dataset.construction.similarity import Tools, Vectors
from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from retrieval.chunker import RuleChunker
from retrieval.encoders import image_encoder

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
EVIL = '</script><img src=x onerror="alert(1)">&\u202e'


class Letters:
    """Texts as counts of their letters: what is alike one sees."""

    name = "letters"
    model = ""
    revision = "1"

    def encode(self, texts: Any) -> Vectors:
        counts = np.array(
            [[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], np.float32
        )
        found: Vectors = counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)
        return found


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    root = tmp_path / "set"
    for folder in ("product_images", "review_images", "test", "dev"):
        (root / folder).mkdir(parents=True)
    products = []
    for number, colour in enumerate(COLOURS):
        Image.new("RGB", (300, 200), colour).save(root / "product_images" / f"secret{number}.png")
        record = {
            "id": f"p{number}",
            "product_name": f"Acme Blender - {colour}",
            "product_category": "Blenders",
        }
        products.append(record | {"image_path": [f"secret{number}.png"]})
    Image.new("RGB", (300, 200), "red").save(root / "review_images" / "mine.png")
    reviews = [
        {
            "review_id": 70 + number,
            "header": EVIL,
            "body": f"Mine is {COLOURS[number]}",
            "mention": "blender",
            "review_image_path": ["mine.png"],
            "gold_entity_info": {"id": f"p{number}"},
        }
        for number in range(4)
    ]
    nil = reviews[0] | {"review_id": 99, "gold_entity_info": {"id": None}}
    (root / "products.json").write_text(json.dumps(products), encoding="utf-8")
    (root / "test" / "reviews.json").write_text(json.dumps([*reviews, nil]), encoding="utf-8")
    (root / "dev" / "reviews.json").write_text(json.dumps(reviews[:1]), encoding="utf-8")
    return load_dataset(root)


@pytest.fixture
def tools() -> Tools:
    return Tools(RuleChunker(), text=Letters(), image=image_encoder("descriptor"))


@pytest.fixture
def key(dataset: Dataset, tools: Tools, tmp_path: Path) -> Key:
    write_sheets(dataset, tmp_path / "sheets", SheetSettings(similar=2, per_sheet=3), tools)
    return read_key(tmp_path / "sheets" / "key.json")


class Seen(HTMLParser):
    """Tags with their attributes, and the text of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: dict[str, str] = {}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside in ("style", "script"):
            self.inline[self.inside] = self.inline.get(self.inside, "") + data

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def test_each_sheet_has_its_part_and_the_key_has_all(key: Key, tmp_path: Path) -> None:
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == ["key.json", "sheet-001.html", "sheet-002.html"]
    items = [item for sheet in key.sheets.values() for item in sheet.items]
    assert [len(sheet.items) for sheet in key.sheets.values()] == [3, 1]
    assert [item.review_id for item in items] == [70, 71, 72, 73]  # 99 has no product
    for item in items:
        assert item.options[ord(item.gold) - ord("A")] == f"p{int(item.review_id) - 70}"
        assert 3 <= len(item.options) <= 5


def test_a_sheet_tells_nothing_of_gold_and_reaches_no_network(key: Key, tmp_path: Path) -> None:
    text = (tmp_path / "sheets" / "sheet-001.html").read_text(encoding="utf-8")
    for told in ("secret", "mine.png", "p0", '"gold"', "data-gold", "p1"):
        assert told not in re.sub(r"base64,[^\"]*", "", text)
    page = Seen(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {"link", "iframe", "object", "form", "base"} & {tag for tag, _ in page.tags}
    sources = {attrs["src"] for tag, attrs in page.tags if "src" in attrs}
    assert sources
    assert all(source and source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    policy = next(attrs["content"] for tag, attrs in page.tags if "http-equiv" in attrs)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inline[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_order_of_options_is_by_chance_and_seeded(dataset: Dataset, tools: Tools, tmp_path: Path) -> None:
    orders = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / str(number)
        write_sheets(dataset, out, SheetSettings(similar=5, seed=seed), tools)
        sheet = next(iter(read_key(out / "key.json").sheets.values()))
        orders.append([tuple(item.options) for item in sheet.items])
        assert len({item.gold for item in sheet.items}) > 1
    assert orders[0] == orders[1] != orders[2]


def test_options_are_alike_by_title_and_by_image(dataset: Dataset, tools: Tools, tmp_path: Path) -> None:
    from ameli_llm.dataset.construction.human.options import similar_images, similar_titles
    from ameli_llm.types import no_progress

    assert tools.text is not None
    assert tools.image is not None
    titles = similar_titles(dataset, ["p0", "p5"], tools.text, 1, no_progress)
    assert titles["p0"] == ["p1"]  # "red" shares most letters with "green"
    images = similar_images(dataset, ["p0"], tools.image, 5, no_progress)
    assert images["p0"][0] == "p5"  # orange is nearest to red
    assert set(images["p0"]) == {"p1", "p2", "p3", "p4", "p5"}


def saved(tmp_path: Path, key: Key, who: str, choices: dict[int, str]) -> list[Path]:
    """Files as the sheets save them: "right", "wrong" or "?" by review."""
    paths = []
    for id_, sheet in key.sheets.items():
        answers = {}
        for number, item in enumerate(sheet.items, start=1):
            if choice := choices.get(int(item.review_id)):
                wrong = next(letter for letter in "AB" if letter != item.gold)
                answers[str(number)] = {"right": item.gold, "wrong": wrong}.get(choice, choice)
        path = tmp_path / f"{who}-{sheet.file}.json"
        path.write_text(json.dumps({"sheet": id_, "annotator": who, "answers": answers}), encoding="utf-8")
        paths.append(path)
    return paths


@pytest.mark.parametrize(("keep", "kept"), [("all", [70]), ("majority", [70, 73]), ("any", [70, 71, 73])])
def test_what_people_found_is_kept(
    keep: Keep, kept: list[int], dataset: Dataset, key: Key, tmp_path: Path
) -> None:
    files = saved(tmp_path, key, "Ada", {70: "right", 71: "right", 73: "right"})
    files += saved(tmp_path, key, "Bo", {70: "right", 71: "wrong", 73: "?"})
    files += saved(tmp_path, key, "Cy", {70: "right", 71: "?", 73: "right"})
    people = read_answers(files, key)
    out = tmp_path / "kept"
    done = write_verified(dataset, out, key, people, keep)
    assert (done.kept, done.answered, done.unanswered) == (len(kept), 3, 1)
    clean = load_dataset(out)
    assert [review.id for review in clean.split("test").reviews] == kept
    assert len(clean.split("dev").reviews) == 1
    account = json.loads((out / "human_check.json").read_text(encoding="utf-8"))
    assert account["annotators"]["Bo"]["right"]["value"] == pytest.approx(1 / 3)
    assert account["annotators"]["Bo"]["cannot_tell"] == 1
    assert account["agreement"]["measure"] == "Fleiss's kappa"
    assert "no upper bound" in account["note"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sheet": "another"}, "answers sheet 'another', which the key does not have"),
        ({"answers": {"9": "A"}}, "answers item 9; its sheet has 3"),
        ({"answers": {"1": "Z"}}, "answers 'Z' to item 1, which has no such option"),
        ({"answers": {"1": "<b>"}}, "is no file of answers: answers.1"),
        ({"annotator": ""}, "is no file of answers: annotator"),
        ({"more": 1}, "is no file of answers: more"),
    ],
)
def test_answers_that_are_none(change: dict[str, Any], message: str, key: Key, tmp_path: Path) -> None:
    path = saved(tmp_path, key, "Ada", {70: "right"})[0]
    content = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(AmeliError, match=message):
        read_answers([path], key)


def test_a_person_does_not_contradict_herself(key: Key, tmp_path: Path) -> None:
    first = saved(tmp_path, key, "Ada", {70: "right"})[0]
    second = saved(tmp_path / "..", key, "Ada", {70: "wrong"})[0]
    with pytest.raises(AmeliError, match="'Ada' has answered item 1 otherwise"):
        read_answers([first, second], key)


def test_a_key_of_other_products_is_refused(dataset: Dataset, key: Key, tmp_path: Path) -> None:
    people = read_answers(saved(tmp_path, key, "Ada", {70: "right"}), key)
    with pytest.raises(AmeliError, match="of another knowledge base"):
        write_verified(dataset, tmp_path / "x", key.model_copy(update={"dataset": "0"}), people)
    with pytest.raises(AmeliError, match="Nobody has answered"):
        write_verified(dataset, tmp_path / "x", key, [])


def test_kappa_of_published_and_plain_tables() -> None:
    # Fleiss 1971 has no free table; this one is the usual textbook example of 10 subjects and 14 raters.
    table = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    rows = [[str(answer) for answer, number in enumerate(row) for _ in range(number)] for row in table]
    assert fleiss(rows) == pytest.approx(0.210, abs=5e-4)
    assert fleiss([["A", "A", "A"], ["B", "B", "B"]]) == 1
    assert fleiss([["A", "A", "A"]]) is None
    # 20 and 15 of 50 agree, 5 and 10 do not: (0.7 - 0.5) / (1 - 0.5)
    pairs = [["y", "y"]] * 20 + [["y", "n"]] * 5 + [["n", "y"]] * 10 + [["n", "n"]] * 15
    assert cohen(pairs) == pytest.approx(0.4)
    assert cohen([["A", "A"]]) is None
    both = agreement([Annotator("a", {1: "A", 2: "B"}), Annotator("b", {1: "A", 2: "B", 3: "C"})])
    assert both is not None
    assert (both.measure, both.kappa, both.items) == ("Cohen's kappa", 1, 2)
    assert agreement([Annotator("a", {1: "A"})]) is None

"""The report in a browser: nothing that reviews or models wrote runs or loads, and the list can be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ameli_llm.engines.engine import ChatReply, ChatRequest, Exchange, Message
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from ameli_llm.transcripts import Transcripts
from ameli_llm.types import Link, State, Usage
from eval.report.page import render
from tests.browser import CHROMIUM, Page, browser

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[Any, GoldRow]]
WriteRun = Callable[..., RunFolder]

ATTACKS = (
    "</script><script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 1'>",
    "<img src=https://example.org/leak.png>",
    "javascript:window.owned=1",
    "<!--<script>",
    "\"'><svg onload=window.owned=1>",
    "{{ 7 * 7 }}${7 * 7}",
    "__proto__",
)
HOSTILE = " ".join(ATTACKS)


pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One tab for the tests of this file."""
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened.page()


def _open(tab: Page, folder: Path, html: str, fragment: str = "") -> None:
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    tab.open("about:blank")
    tab.open(path.as_uri() + fragment)


def _keep(run: RunFolder, review: int | str, prompt: str, reply: str) -> None:
    request = ChatRequest((Message("user", prompt),), template="f" * 64)
    exchange = Exchange(HOSTILE, request, ChatReply(reply, None, Usage(7, 3), "stop", seconds=0.5))
    with Transcripts(run.path) as transcripts:
        transcripts.put([Link(review, State.LINKED, exchanges=(exchange,))])


def test_nothing_that_was_written_runs_or_loads(
    tab: Page, tmp_path: Path, predict: Predict, golds: Golds, write_run: WriteRun
) -> None:
    place = {"field": "body", "start": 0, "end": 20, "text": HOSTILE}
    value = {"key": HOSTILE, "value": HOSTILE, "source": HOSTILE, "evidence": place}
    rows = [
        predict(attack, attack, {attack: 0.9, "other": 0.8}, attributes=[value], error=HOSTILE)
        for attack in ATTACKS
    ]
    gold = golds(dict.fromkeys(ATTACKS, "other"), category=HOSTILE, slices=ATTACKS)
    text = {"header": HOSTILE, "body": HOSTILE, "mention": HOSTILE, "images": [HOSTILE]}
    runs = [
        write_run(
            rows,
            gold,
            name,
            spec={"config": {}, "templates": {HOSTILE: "f" * 64}, "dataset": {"name": HOSTILE}},
            reviews=dict.fromkeys(ATTACKS, text),
            products={**dict.fromkeys(ATTACKS, HOSTILE), "other": HOSTILE},
            manifest={"git": {"revision": HOSTILE}},
        )
        for name in ("a", "<img src=x onerror=window.owned=1>")
    ]
    for attack in ATTACKS:
        _keep(runs[1], attack, HOSTILE, HOSTILE)
    _open(tab, tmp_path, render(*runs), "#q=%3Cimg%20src%3Dx%20onerror%3Dwindow.owned%3D1%3E")
    tab.run("document.getElementById('clear').click()")
    for number in range(len(ATTACKS)):
        tab.run(f"document.querySelectorAll('button.row')[{number}].click()")
        tab.until(f"document.querySelector('[data-at=\"{number}\"] .inside pre.transcript')")
        shown = tab.run("document.querySelector('.inside').textContent")
        assert all(attack in shown for attack in ATTACKS)
    for fragment in (
        "show=__proto__",
        "run=constructor",
        "part=category:" + "%3Cscript%3E",
        "cause=toString",
    ):
        tab.run(
            "new Promise((done) => { addEventListener('hashchange', () => setTimeout(done), { once: true });"
            f"location.hash = {json.dumps(fragment)}; }})"
        )
        assert tab.run("document.querySelectorAll('#list .row').length") == len(ATTACKS)
    assert tab.run("document.querySelectorAll('main img, main iframe, main object').length") == 0
    assert tab.run("document.querySelectorAll('script:not([type])').length") == 1
    assert tab.run("typeof window.owned") == "undefined"
    assert tab.requested == [(tmp_path / "page.html").as_uri()]
    assert tab.complaints == []


@pytest.fixture
def page(tmp_path: Path, predict: Predict, golds: Golds, write_run: WriteRun) -> str:
    """Three runs of 70 reviews: B fixes 1 to 3 and breaks 4, C fails on 5; a photo of every review."""
    scores = {1: 0.9, 2: 0.8}
    dataset = tmp_path / "dataset"
    (dataset / "review_images").mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(dataset / "review_images" / "r.jpg")
    products = [{"id": i, "product_name": f"Product {i}", "product_category": "Shop"} for i in (1, 2)]
    (dataset / "products.json").write_text(json.dumps(products))
    ids = range(1, 71)
    place = {"field": "body", "start": 3, "end": 6, "text": "red"}
    red = {"key": "Color", "value": "Red", "source": "rules", "evidence": place}

    def run(name: str, wrong: set[int], failed: set[int] = frozenset()) -> RunFolder:  # type: ignore[assignment]
        rows = [
            predict(i, None, scores, state="invalid_output", error="no JSON")
            if i in failed
            else predict(i, 2 if i in wrong else 1, scores, attributes=[red] if name == "b" else [])
            for i in ids
        ]
        texts = {i: {"body": f"my red one {i}", "mention": f"thing {i}", "images": ["r.jpg"]} for i in ids}
        gold = golds(dict.fromkeys(ids, 1), category="Odd & <even>", slices=("short",))
        return write_run(rows, gold, name, reviews=texts, products={1: "Product 1", 2: "Product 2"})

    runs = [run("a", {1, 2, 3}), run("b", {4}), run("c", {1, 2, 3}, {5})]
    _split_scores(runs[0], {"rules": 1.5, "names": -0.25})
    _keep(runs[0], 4, "What is it?", "A thing.")
    return render(*runs, dataset=dataset)


LISTED = "[...document.querySelectorAll('#list .row > .id')].map((one) => one.textContent)"


def test_filters_are_in_the_address_and_survive_a_reload(tab: Page, tmp_path: Path, page: str) -> None:
    _open(tab, tmp_path, page)
    assert len(tab.run(LISTED)) == 60, "more are drawn when they are asked for"
    tab.run("document.getElementById('more').click()")
    assert len(tab.run(LISTED)) == 70
    tab.run("document.querySelector('a[href=\"#run=B&show=fixed\"]').click()")
    tab.until("document.getElementById('count').textContent === '3 of 70'")
    assert tab.run(LISTED) == ["1", "2", "3"]
    for field, event, value, left in (
        ("f-show", "change", "broken", ["4"]),
        ("f-show", "change", "same", [str(i) for i in range(5, 65)]),
        ("f-run", "change", "C", [str(i) for i in (1, 2, 3, 4, *range(6, 62))]),
        ("f-show", "change", "failed", ["5"]),
        ("f-cause", "change", "failed", ["5"]),
        ("f-show", "change", "", ["5"]),
        ("f-cause", "change", "", None),
        ("f-part", "change", "category:Odd & <even>", None),
        ("f-q", "input", "RED one 6", ["6", *(str(i) for i in range(60, 70))]),
    ):
        tab.run(
            f"{{ const field = document.getElementById({json.dumps(field)}); "
            f"field.value = {json.dumps(value)}; field.dispatchEvent(new Event({json.dumps(event)})); }}"
        )
        assert tab.run(f"document.getElementById({json.dumps(field)}).value") == value
        if left is not None:
            tab.until(f"JSON.stringify({LISTED}) === {json.dumps(json.dumps(left, separators=(',', ':')))}")
    tab.run("document.querySelectorAll('button.row')[1].click()")
    tab.until("document.querySelector('.inside')")
    before = tab.run("location.hash")
    assert {"run=C", "review=60"} <= set(before.lstrip("#").split("&"))
    _open(tab, tmp_path, page, before)
    tab.until("document.querySelector('[aria-expanded=\"true\"] .id')?.textContent === '60'")
    tab.until("document.querySelectorAll('#list .row').length === 11")
    assert tab.run("document.getElementById('f-part').value") == "category:Odd & <even>"
    assert tab.complaints == []


def test_a_card_has_both_runs_side_by_side(tab: Page, tmp_path: Path, page: str) -> None:
    _open(tab, tmp_path, page, "#review=4&run=B")
    tab.until("document.querySelector('.inside pre.transcript')")
    assert tab.run("document.querySelector('.photos img').decode().then(() => true)")
    assert tab.run("document.querySelector('mark.only').textContent") == "red"
    rows = tab.run("[...document.querySelectorAll('table.answers tbody tr')].map((row) => row.innerText)")
    assert [row.split("\t")[:3] for row in rows] == [
        ["A", "right", "Product 1 #1"],
        ["B", "image misled", "Product 2 #2"],
        ["C", "right", "Product 1 #1"],
        ["", "right answer", "Product 1 #1"],
    ]
    words = tab.run("document.querySelector('.inside').textContent")
    for part in ("Color: Red", "body “red” (rules)", "answer of A", "answer of B", "What is it?", "A thing."):
        assert part in words
    parts = tab.run("[...document.querySelectorAll('.candidates .portion')].map((one) => one.textContent)")
    assert parts == ["names -0.25", "rules 1.50"] * 2, "of both candidates of A; B has no parts"
    assert tab.run("document.querySelector('#matrix-head').innerText.split(/\\s+/).slice(0, 6)") == [
        *("A", "96%", "B", "99%", "C", "94%")
    ]


def test_the_keyboard_is_enough(tab: Page, tmp_path: Path, page: str) -> None:
    _open(tab, tmp_path, page)
    opened = "document.querySelector('[aria-expanded=\"true\"] .id')?.textContent"
    for key, then in (
        ("j", "document.activeElement.querySelector('.id').textContent === '1'"),
        ("j", "document.activeElement.querySelector('.id').textContent === '2'"),
        ("Enter", f"{opened} === '2'"),
        ("j", f"{opened} === '3'"),
        ("k", f"{opened} === '2'"),
        ("Escape", f"!{opened} && document.activeElement.querySelector('.id').textContent === '2'"),
        ("/", "document.activeElement.id === 'f-q'"),
        ("j", "document.activeElement.value === 'j'"),
        ("Escape", "document.activeElement === document.body"),
    ):
        tab.key(key)
        tab.until(then)


@pytest.mark.parametrize("width", [1400, 400])
def test_it_fits_the_window(tab: Page, tmp_path: Path, page: str, width: int) -> None:
    tab.looks(width, 900, dark=width == 400)
    _open(tab, tmp_path, page, "#review=4")
    tab.until("document.querySelector('.inside')")
    assert tab.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page_colour = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (page_colour == "rgb(18, 22, 28)") == (width == 400)


def _split_scores(run: RunFolder, parts: dict[str, float]) -> None:
    """Every candidate of the run has these parts of its text score."""
    path = run.path / "predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        for one in row["candidates"]:
            one["text_scores"] = parts
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

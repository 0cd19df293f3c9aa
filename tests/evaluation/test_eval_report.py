from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.runs import AttributeRow, GoldRow, PredictionRow, RunFolder
from eval.report.cards import LONGEST, Piece, highlight
from eval.report.page import render, write_report

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]
WriteRun = Callable[..., RunFolder]

HOSTILE = "<script>alert('x')</script><img src=https://example.org/x.png onerror=alert(1)>"


def _value(start: int, end: int, key: str = "Color", field: str = "body") -> dict[str, Any]:
    place = {"field": field, "start": start, "end": end, "text": "red"}
    return {"key": key, "value": "Red", "source": "rules", "evidence": place}


class _Tags(HTMLParser):
    """Start tags and attributes of a document, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def hostile_run(predict: Predict, golds: Golds, write_run: WriteRun) -> RunFolder:
    """Everything that comes from data carries markup."""
    row = predict(
        1,
        1,
        {1: 0.9, 2: 0.8},
        attributes=[{**_value(0, 8), "value": HOSTILE, "key": HOSTILE}],
        error=HOSTILE,
    )
    text = {"header": HOSTILE, "body": HOSTILE, "mention": HOSTILE, "images": [HOSTILE]}
    return write_run(
        [row, predict(2, None, state="engine_error", error="\x00\x1b[31mred")],
        golds({1: 2, 2: 1}, category=HOSTILE, slices=(HOSTILE,)),
        spec={"config": {}, "dataset": HOSTILE},
        reviews={1: text, 2: {"header": "مرحبا", "body": "\x00" + "x" * 100_000, "mention": "👩‍👧"}},
        products={1: HOSTILE, 2: HOSTILE},
    )


def test_untrusted_text_never_becomes_markup(hostile_run: RunFolder) -> None:
    html = render(hostile_run)
    tags = _Tags(html)
    assert not tags.open
    assert [attrs for tag, attrs in tags.seen if tag == "script"] == [{}]
    assert not [tag for tag, _ in tags.seen if tag in ("img", "link", "iframe", "object")]
    assert not [
        attrs for _, attrs in tags.seen if any(name in attrs for name in ("src", "onerror", "srcset"))
    ]
    assert all((attrs.get("href") or "#").startswith("#") for _, attrs in tags.seen)
    assert "&lt;script&gt;alert" in html
    assert "\x00" not in html
    assert "\x1b" not in html
    assert not re.search(r"@import|url\(", html)


def test_a_long_review_is_cut(hostile_run: RunFolder) -> None:
    html = render(hostile_run)
    assert "The text goes on." in html
    assert "x" * (LONGEST + 1) not in html


def test_scores_states_and_evidence_are_there(predict: Predict, golds: Golds, write_run: WriteRun) -> None:
    evidence = [
        {"entity_id": 1, "key": "Color", "verdict": "conflict"},
        {"entity_id": 1, "key": "Size", "verdict": "unknown"},
    ]
    row = predict(1, 1, {1: 0.9, 2: 0.8}, attributes=[_value(3, 6)], evidence=evidence)
    run = write_run(
        [row, predict(2, 2, {2: 1.0})],
        golds({1: 2, 2: 2}, category="Blenders", attributes={"Color": ("Red",)}),
        reviews={1: {"header": "Nice", "body": "My red one", "mention": "blender"}},
        products={1: "Acme - Blue", 2: "Acme - Red"},
    )
    html = render(run)
    for part in (
        "end-to-end F1",
        "50.0",
        '<mark title="Color: Red (rules)">red</mark>',
        "✗ Color",
        "✓ Color",
        "1 unknown",
        "Acme - Blue",
        "comparison wrong",
    ):
        assert part in html


def test_wrong_reviews_come_first(predict: Predict, golds: Golds, write_run: WriteRun) -> None:
    rows = [predict(i, 1, {1: 0.9, 2: 0.8}) for i in range(1, 5)]
    html = render(write_run(rows, golds({1: 1, 2: 2, 3: 1, 4: 2})))
    assert re.findall(r'id="r(\d)"', html) == ["2", "4", "1", "3"]


def test_two_runs_list_fixed_and_broken(predict: Predict, golds: Golds, write_run: WriteRun) -> None:
    scores, gold = {1: 0.9, 2: 0.8}, golds({1: 1, 2: 1, 3: 1})
    a = write_run([predict(1, 2, scores), predict(2, 1, scores), predict(3, 1, scores)], gold, "a")
    b = write_run([predict(1, 1, scores), predict(2, 2, scores), predict(3, 1, scores)], gold, "b")
    html = render(a, b)
    assert not _Tags(html).open
    assert "Fixed by B" in html
    assert re.findall(r'id="r(\d)"', html)[:2] == ["1", "2"]
    assert 'href="#r1"' in html


def test_a_run_without_gold_or_texts_still_has_a_report(predict: Predict, write_run: WriteRun) -> None:
    html = render(write_run([predict(1, 1, {1: 1.0}, confidence=None)], {}))
    assert not _Tags(html).open
    assert "No review of this run has gold." in html


def test_the_file_is_written_where_asked(hostile_run: RunFolder) -> None:
    assert write_report(hostile_run).path == hostile_run.path / "report.html"
    with pytest.raises(AmeliError, match="Cannot write"):
        write_report(hostile_run, hostile_run.path / "missing" / "x.html")


@pytest.mark.parametrize(
    ("spans", "pieces"),
    [
        ([], [("my red one", "")]),
        ([(3, 6)], [("my ", ""), ("red", "Color: Red (rules)"), (" one", "")]),
        ([(0, 2), (7, 10)], [("my", "Color: Red (rules)"), (" red ", ""), ("one", "Color: Red (rules)")]),
        ([(3, 6), (5, 10)], [("my ", ""), ("red one", "Color: Red (rules); Color: Red (rules)")]),
        ([(-1, 3), (4, 4), (8, 99)], [("my red one", "")]),
    ],
)
def test_highlight(spans: list[tuple[int, int]], pieces: list[tuple[str, str]]) -> None:
    values = [AttributeRow.model_validate(_value(*span)) for span in spans]
    assert list(highlight("my red one", values, "body")) == [Piece(*piece) for piece in pieces]

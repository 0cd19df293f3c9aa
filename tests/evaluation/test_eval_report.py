from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.runs import AttributeRow, GoldRow, PredictionRow, RunFolder
from eval.report.page import render, write_report
from eval.report.sides import LETTERS
from eval.report.text import LONGEST, Piece, highlight
from tests.evaluation.report_page import ReportPage

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]
WriteRun = Callable[..., RunFolder]

HOSTILE = "<script>alert('x')</script><img src=https://example.org/x.png onerror=alert(1)>"


def _value(start: int, end: int, key: str = "Color", field: str = "body") -> dict[str, Any]:
    place = {"field": field, "start": start, "end": end, "text": "red"}
    return {"key": key, "value": "Red", "source": "rules", "evidence": place}


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
    html = render(hostile_run, hostile_run)
    page = ReportPage(html)
    assert not page.open
    scripts = [attrs for tag, attrs in page.seen if tag == "script"]
    assert {attrs.get("type") for attrs in scripts[:-1]} == {"application/json"}
    assert scripts[-1] == {}
    assert not [tag for tag, _ in page.seen if tag in ("img", "link", "iframe", "object", "form", "base")]
    assert not [name for _, attrs in page.seen for name in attrs if name.startswith("on")]
    assert not [attrs for _, attrs in page.seen if attrs.keys() & {"src", "srcset", "style", "action"}]
    assert all((attrs.get("href") or "#").startswith("#") for _, attrs in page.seen)
    assert "&lt;script&gt;alert" in html
    assert "<script>alert" not in html
    assert not re.search(r"@import|url\(", html)


def test_untrusted_text_is_whole_in_the_cards(hostile_run: RunFolder) -> None:
    html = render(hostile_run)
    page = ReportPage(html)
    first = page.cards[page.ids.index("1")]
    assert "".join(piece["text"] for piece in first["header"]) == HOSTILE
    assert {product["name"] for product in first["products"]} == {HOSTILE}
    assert first["runs"][0]["error"] == HOSTILE
    every = html + json.dumps(page.cards, ensure_ascii=False) + json.dumps(page.searched, ensure_ascii=False)
    assert not set(every) & {"\x00", "\x1b"}


def test_the_policy_lets_only_the_pages_own_script_and_style_in(hostile_run: RunFolder) -> None:
    html = render(hostile_run)
    (policy,) = (attrs["content"] for _, attrs in ReportPage(html).seen if "http-equiv" in attrs)
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("img-src") == "data:"
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert not rules


def test_a_long_review_is_cut(hostile_run: RunFolder) -> None:
    page = ReportPage(render(hostile_run))
    card = page.cards[page.ids.index("2")]
    assert card["cut"]
    assert sum(len(piece["text"]) for piece in card["body"]) == LONGEST


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
    page = ReportPage(render(run))
    for part in ("end-to-end F1", "50.0", "comparison wrong", "No photos"):
        assert part in page.text
    card = page.cards[0]
    assert card["body"] == [
        {"text": "My ", "labels": []},
        {"text": "red", "labels": [[0, "Color: Red (rules)"]]},
        {"text": " one", "labels": []},
    ]
    assert [(one["name"], one["right"]) for one in card["products"]] == [
        ("Acme - Blue", False),
        ("Acme - Red", True),
    ]
    (made,) = card["runs"]
    assert made["answer"] == 0
    first, second = made["candidates"]
    assert (first["conflict"], first["unknown"], second["agree"]) == (["Color"], 1, ["Color"])
    assert made["values"] == [{"name": "Color: Red", "source": "rules", "place": "body “red”"}]
    assert page.index["reviews"][0]["runs"] == [["wrong", "comparison_wrong", "linked", 0.5]]
    for words in ("blender", "my red one", "acme - blue", "acme - red", "color: red", "blenders"):
        assert words in page.searched[0]


def test_the_parts_of_the_text_score_are_there(predict: Predict, golds: Golds, write_run: WriteRun) -> None:
    row = predict(1, 1, {1: 0.9, 2: 0.8}, parts={1: (0.5, None), 2: (0.25, None)})
    parts = [{"rules": 1.23456, "names": -0.5}, {"rules": 1.0}]
    candidates = tuple(
        one.model_copy(update={"text_scores": found})
        for one, found in zip(row.candidates, parts, strict=True)
    )
    run = write_run([row.model_copy(update={"candidates": candidates})], golds({1: 1}))
    (made,) = ReportPage(render(run)).cards[0]["runs"]
    first, second = made["candidates"]
    assert first["comparators"] == {"names": -0.5, "rules": 1.2346}
    assert second["comparators"] == {}, "the only part is the text score itself"


def test_wrong_reviews_come_first(predict: Predict, golds: Golds, write_run: WriteRun) -> None:
    rows = [predict(i, 1, {1: 0.9, 2: 0.8}) for i in range(1, 5)]
    assert ReportPage(render(write_run(rows, golds({1: 1, 2: 2, 3: 1, 4: 2})))).ids == ["2", "4", "1", "3"]


@pytest.fixture
def three(predict: Predict, golds: Golds, write_run: WriteRun) -> list[RunFolder]:
    """Runs a, b, c: b fixes 2 and breaks 3, c fails on 1 and lacks 4; 5 is only in c."""
    scores = {1: 0.9, 2: 0.8}

    def run(name: str, answers: dict[int, int | None]) -> RunFolder:
        rows = [
            predict(id_, answer, scores)
            if answer
            else predict(id_, None, scores, state="invalid_output", error="no JSON")
            for id_, answer in answers.items()
        ]
        return write_run(rows, golds(dict.fromkeys(answers, 1)), name, spec={"config": {"seed": len(name)}})

    answers = {
        "a": {1: 1, 2: 2, 3: 1, 4: 1},
        "bb": {1: 1, 2: 1, 3: 2, 4: 1},
        "ccc": {1: None, 2: 2, 3: 1, 5: 1},
    }
    return [run(name, given) for name, given in answers.items()]


def test_all_runs_are_in_every_row(three: list[RunFolder]) -> None:
    page = ReportPage(render(*three))
    rows = {one["id"]: one["runs"] for one in page.index["reviews"]}
    assert {id_: [run and run[0] for run in runs] for id_, runs in rows.items()} == {
        "2": ["wrong", "right", "wrong"],
        "3": ["right", "wrong", "right"],
        "1": ["right", "right", "failed"],
        "4": ["right", "right", None],
        "5": [None, None, "right"],
    }
    assert page.ids[:2] == ["2", "3"], "those that runs answer differently come first"
    assert [run["letter"] for run in page.index["runs"]] == ["A", "B", "C"]
    card = page.cards[page.ids.index("4")]
    assert [run and run["answer"] for run in card["runs"]] == [0, 0, None]


def test_each_run_is_compared_with_the_first(three: list[RunFolder]) -> None:
    page = ReportPage(render(*three))
    assert not page.open
    links = {attrs["href"] for tag, attrs in page.seen if tag == "a"}
    assert {"#run=B&show=fixed", "#run=B&show=broken", "#run=A&cause=image_misled"} <= links
    assert "#run=C&show=fixed" not in links, "C fixes nothing"
    assert "What the runs change" in page.text
    assert "config.seed" in page.text
    two = ReportPage(render(*three[:2]))
    assert "What B changes" in two.text
    assert not two.open


def test_prompts_that_differ_are_shown(three: list[RunFolder], write_run: WriteRun) -> None:
    for number, run in enumerate(three):
        manifest = run.manifest()
        config = {"attributes": {"extractors": ["llm"], "template": "extract/<b>"}}
        manifest["spec"] = {"config": config, "templates": {"extract/<b>": str(number) * 64}}
        (run.path / "run.json").write_text(json.dumps(manifest))
        kept = {"extract/<b>": {"source": f"List it, <i>{number}</i>.\n", "included": {}}}
        (run.path / "templates.json").write_text(json.dumps(kept))
    html = render(*three)
    for line in ("-List it, <i>0</i>.", "+List it, <i>1</i>.", "+List it, <i>2</i>."):
        assert line in ReportPage(html).text
    assert "<i>" not in html


def test_a_report_has_as_many_runs_as_letters(three: list[RunFolder]) -> None:
    with pytest.raises(AmeliError, match="27 runs: a report takes up to 26"):
        render(*[three[0]] * (len(LETTERS) + 1))


def test_a_run_without_gold_or_texts_still_has_a_report(predict: Predict, write_run: WriteRun) -> None:
    page = ReportPage(render(write_run([predict(1, 1, {1: 1.0}, confidence=None)], {})))
    assert not page.open
    assert "No review of this run has gold." in page.text


def test_the_file_is_written_where_asked(hostile_run: RunFolder) -> None:
    assert write_report(hostile_run).path == hostile_run.path / "report.html"
    with pytest.raises(AmeliError, match="Cannot write"):
        write_report(hostile_run, hostile_run.path / "missing" / "x.html")


COLOR = (0, "Color: Red (rules)")


@pytest.mark.parametrize(
    ("spans", "pieces"),
    [
        ([], [("my red one", ())]),
        ([(3, 6)], [("my ", ()), ("red", (COLOR,)), (" one", ())]),
        ([(0, 2), (7, 10)], [("my", (COLOR,)), (" red ", ()), ("one", (COLOR,))]),
        ([(3, 6), (5, 10)], [("my ", ()), ("re", (COLOR,)), ("d", (COLOR,)), (" one", (COLOR,))]),
        ([(-1, 3), (4, 4), (8, 99)], [("my red one", ())]),
    ],
)
def test_highlight(spans: list[tuple[int, int]], pieces: list[tuple[str, Any]]) -> None:
    values = [AttributeRow.model_validate(_value(*span)) for span in spans]
    assert list(highlight("my red one", [values], "body")) == [Piece(*piece) for piece in pieces]


def test_what_two_runs_prove_is_told_apart() -> None:
    a, b = ([AttributeRow.model_validate(_value(3, end, key))] for end, key in ((6, "Color"), (10, "Kind")))
    both = (COLOR, (1, "Kind: Red (rules)"))
    assert list(highlight("my red one", [a, b], "body")) == [
        Piece("my "),
        Piece("red", both),
        Piece(" one", both[1:]),
    ]

"""Ids of products and reviews are numbers and texts, side by side: no file or table takes one for another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ameli_llm.cli import compare, evaluate
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from tests.evaluation.report_page import ReportPage

Predict = Callable[..., PredictionRow]

ORDER: list[int | str] = [9, 412, "007", "10", "B00X1", "a b/%"]
"""Numbers by size, then texts by code point."""


@pytest.fixture
def run(
    predict: Predict, golds: Callable[..., dict[Any, GoldRow]], write_run: Callable[..., RunFolder]
) -> Callable[..., RunFolder]:
    """run(name, wrong): each review's right product has the review's own id; those in ``wrong`` miss it."""

    def make(name: str, wrong: tuple[int | str, ...] = ()) -> RunFolder:
        rows = [
            predict(i, ORDER[k - 1] if i in wrong else i, {one: 1 / (2 + n) for n, one in enumerate(ORDER)})
            for k, i in reversed(list(enumerate(ORDER)))
        ]
        names = {i: f"Product {i}" for i in ORDER}
        return write_run(rows, golds({i: i for i in ORDER}), name, products=names)

    return make


def _call(*words: object) -> str:
    app = typer.Typer()
    evaluate.register(app)
    compare.register(app)
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_evaluate_and_its_trec_files(run: Callable[..., RunFolder]) -> None:
    folder = run("run", wrong=("007",))
    scores = json.loads(_call("evaluate", folder.path, "--json"))
    assert (scores["n"], scores["in_kb"], scores["products"]) == (6, 6, 6)
    assert scores["end_to_end_f1"]["value"] == pytest.approx(5 / 6, abs=1e-6)
    columns = [line.split(" ") for line in (folder.path / "qrels.trec").read_text().splitlines()]
    assert [line[0] for line in columns] == ["9", "412", "007", "10", "B00X1", "a%20b/%25"]
    assert all(line[0] == line[2] for line in columns)
    lines = (folder.path / "run.trec").read_text().splitlines()
    assert {len(line.split(" ")) for line in lines} == {6}
    assert list(dict.fromkeys(line.split(" ")[0] for line in lines)) == [line[0] for line in columns]


def test_compare_names_them_as_they_came(run: Callable[..., RunFolder]) -> None:
    a, b = run("a", wrong=(412, "B00X1")), run("b", wrong=("007",))
    printed = json.loads(_call("compare", a.path, b.path, "--json"))
    assert (printed["fixed"], printed["broken"]) == ([412, "B00X1"], ["007"])
    assert "fixed: 2: 412 B00X1" in _call("compare", a.path, b.path)


def test_the_report_lists_them_in_order(run: Callable[..., RunFolder]) -> None:
    folder, other = run("a", wrong=("a b/%",)), run("b")
    _call("report", folder.path, other.path)
    page = ReportPage((folder.path / "report.html").read_text())
    assert page.ids == ["a b/%", "9", "412", "007", "10", "B00X1"]
    names = {product["name"]: product["id"] for card in page.cards for product in card["products"]}
    assert names["Product 007"] == "007"


def test_a_text_and_a_number_that_look_alike_are_different_products(
    predict: Predict, golds: Callable[..., dict[Any, GoldRow]], write_run: Callable[..., RunFolder]
) -> None:
    folder = write_run([predict("1", 412, {412: 0.9, "5": 0.8})], golds({"1": "412"}))
    scores = json.loads(_call("evaluate", folder.path, "--json"))
    assert (scores["with_gold"], scores["end_to_end_f1"]["value"]) == (1, 0)

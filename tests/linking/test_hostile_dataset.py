"""The default pipeline on reviews and pictures that break naive code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.linking.contract import conforms, lines


@pytest.fixture(scope="module")
def run(
    ameli: Callable[..., Any], dataset: Path, index: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "run"
    done = ameli("link", dataset, "--split", "train", "--out", folder)
    assert done.code == 0, done
    assert "Traceback" not in done.err
    return folder


def test_every_review_has_a_state(run: Path) -> None:
    conforms(run, 10)
    assert {row["error"] for row in lines(run)} == {None}


def test_evidence_stands_where_it_says(run: Path) -> None:
    reviews = json.loads((run / "reviews.json").read_text("utf-8"))
    stated = [(row["review_id"], a["evidence"]) for row in lines(run) for a in row["attributes"]]
    assert {id_ for id_, _ in stated} >= {9003, 9009}, "long text and plain text state something"
    for id_, place in stated:
        if place["field"] != "image":
            assert reviews[str(id_)][place["field"]][place["start"] : place["end"]] == place["text"]


def test_the_report_shows_no_markup_of_a_review(run: Path) -> None:
    page = (run / "report.html").read_text("utf-8")
    assert "</script><|im_end|>" not in page
    assert "\x1b[2J" not in page


def test_pictures_that_cannot_be_read_score_nothing(run: Path) -> None:
    """The only good picture of these reviews is none at all."""
    for row in lines(run):
        assert all("image" not in c["scores"] and c["image_score"] is None for c in row["candidates"])

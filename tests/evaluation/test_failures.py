"""Failures apart from answers: one outage is one line, and no broken review."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli import compare as comparing
from ameli_llm.cli import evaluate, results
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder
from eval.failures import LONGEST, failure_kinds
from eval.paired import compare

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]
Failed = Callable[..., PredictionRow]

OUTAGE = "HTTP 503: upstream gone (request chatcmpl-4f2a91c0, try {})"


@pytest.fixture
def failed(predict: Predict) -> Failed:
    def make(review: int, message: str | None, state: str = "engine_error") -> PredictionRow:
        return predict(review, None, state=state, error=message, confidence=None)

    return make


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Timed out after 60.1 s.", "Timed out after 59.9 s.", True),
        ("HTTP 503: request abc12345 of 7", "HTTP 503: request 99ffee01 of 12", True),
        ("reply 'A' is none of the choices", 'reply "it\'s" is none of the choices', True),
        ("reply is not JSON: '{\"a\": 1}'", "reply is not JSON: 'I think that it...", True),
        ("HTTP 503: busy", "HTTP 429: busy", False),
        ("Connection refused", "Connection reset", False),
        (None, "", True),
    ],
)
def test_messages_of_one_kind(failed: Failed, one: str | None, other: str | None, same: bool) -> None:
    assert len(failure_kinds([failed(1, one), failed(2, other)])) == (1 if same else 2)


def test_kinds_are_counted_in_each_run_and_shown_by_their_commonest_message(failed: Failed) -> None:
    a = [failed(1, "Bad 1"), failed(2, "Bad 2")]
    b = [failed(1, "Bad 2"), failed(2, "Slow", "invalid_output"), failed(3, "Slow", "engine_error")]
    kinds = failure_kinds(a, b)
    assert [(one.state, one.message, one.reviews) for one in kinds] == [
        ("engine_error", "Bad 2", (2, 1)),
        ("engine_error", "Slow", (0, 1)),
        ("invalid_output", "Slow", (0, 1)),
    ]


def test_answers_are_no_failures(predict: Predict) -> None:
    assert failure_kinds([predict(1, 1, {1: 1.0}), predict(2, None, error="no candidates")]) == []


def test_a_hostile_message_is_one_short_printable_line(
    failed: Failed, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = failure_kinds([failed(1, "\x1b[31mred\nnext\u202e" + "x" * 100_000)])
    assert kinds[0].message.startswith("\ufffd[31mred next\ufffdx")
    assert len(kinds[0].message) == LONGEST
    results.print_failures(kinds)
    assert "\x1b" not in capsys.readouterr().out


def test_beyond_the_commonest_only_the_number_is_printed(
    failed: Failed, capsys: pytest.CaptureFixture[str]
) -> None:
    results.print_failures(failure_kinds([failed(i, "abcde"[i]) for i in range(5)]))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:5] == [
        "failed reviews",
        "engine_error: a 1",
        "engine_error: b 1",
        "engine_error: c 1",
        "2 other messages 2",
    ]


@pytest.fixture
def outage(
    predict: Predict, failed: Failed, golds: Golds, write_run: Callable[..., RunFolder]
) -> tuple[RunFolder, RunFolder]:
    """A: right but for the last of eight reviews. B fixes that one, and gets no reply for three others."""
    scores, gold = {1: 0.9, 2: 0.8}, golds(dict.fromkeys(range(8), 1))
    a = [predict(i, 2 if i == 7 else 1, scores) for i in range(8)]
    b = [failed(i, OUTAGE.format(i)) if i < 3 else predict(i, 1, scores) for i in range(8)]
    return write_run(a, gold, "a"), write_run(b, gold, "b")


def test_an_outage_breaks_nothing(outage: tuple[RunFolder, RunFolder]) -> None:
    a, b = outage
    paired = compare(list(a.predictions()), a.gold(), list(b.predictions()), b.gold())
    answered, wrong = paired.answered, paired.failures_as_wrong
    assert (paired.shared, paired.failed_a, paired.failed_b) == (8, 0, 3)
    assert (answered.n, answered.fixed, answered.broken, answered.p) == (5, (7,), (), 1.0)
    assert (answered.a.value, answered.b.value) == (4 / 5, 1.0)
    assert (wrong.n, wrong.fixed, wrong.broken, wrong.p) == (8, (7,), (0, 1, 2), 0.625)
    assert [one.reviews for one in paired.failures] == [(0, 3)]


def _compared(*words: object) -> Result:
    app = typer.Typer()
    evaluate.register(app)
    comparing.register(app)
    return CliRunner().invoke(app, ["compare", *map(str, words)], catch_exceptions=False)


def test_compare_says_so_first(outage: tuple[RunFolder, RunFolder]) -> None:
    a, b = outage
    lines = [" ".join(line.split()) for line in _compared(a.path, b.path).stdout.splitlines()]
    order = [
        "failed: 0 in A, 3 in B",
        f"engine_error: {OUTAGE.format(0)} 0 3",
        "The 5 reviews that both answered:",
        "fixed: 1: 7",
        "broken: 0",
        "All 8 shared reviews, failures as wrong answers:",
        "broken: 3: 0 1 2",
    ]
    assert [line for line in lines if line in order] == [*order[:6], "fixed: 1: 7", order[6]]
    printed = json.loads(_compared(a.path, b.path, "--json").stdout)
    assert (printed["n"], printed["shared"], printed["broken"]) == (5, 8, [])
    assert printed["failures_as_wrong"]["broken"] == [0, 1, 2]
    assert printed["failures"]["a"] == 0
    assert printed["failures"]["b"] == 3
    assert printed["failures"]["kinds"] == [
        {"state": "engine_error", "message": OUTAGE.format(0), "a": 0, "b": 3}
    ]


def test_a_run_that_answered_nothing_is_no_traceback(
    failed: Failed, outage: tuple[RunFolder, RunFolder], golds: Golds, write_run: Callable[..., RunFolder]
) -> None:
    dead = write_run([failed(i, "Connection refused") for i in range(8)], golds(dict.fromkeys(range(8), 1)))
    result = _compared(outage[0].path, dead.path)
    assert result.exit_code == 0
    assert "The 0 reviews that both answered:" in result.stdout
    assert "nan" not in result.stdout
    app = typer.Typer()
    evaluate.register(app)
    comparing.register(app)
    words = ["report", str(outage[0].path), str(dead.path)]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert "Connection refused" in (outage[0].path / "report.html").read_text()


def test_the_pace_is_by_wall_time(outage: tuple[RunFolder, RunFolder]) -> None:
    a, b = outage
    assert "wall time of A: 10.0 s, 0.80 reviews/s; wall time of B: 10.0 s, 0.80 reviews/s" in (
        _compared(a.path, b.path).stdout
    )
    printed = json.loads(_compared(a.path, b.path, "--json").stdout)
    assert printed["time"]["b"] == {
        "seconds": 10.0,
        "reviews_per_second": 0.8,
        "requests": None,
        "requests_per_second": None,
    }
    assert "seconds" not in printed

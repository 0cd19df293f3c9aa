"""``compare`` as a user types it: two runs, several, with conditions, for a pull request."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli import compare as commands
from ameli_llm.errors import AmeliError
from ameli_llm.files import write_json
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder

GOLD = {1: 1, 2: 2, 3: 1, 4: 2}


def _call(*arguments: str | Path) -> Result:
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def answering(
    predict: Callable[..., PredictionRow],
    golds: Callable[..., dict[int, GoldRow]],
    write_run: Callable[..., RunFolder],
) -> Callable[..., Path]:
    """answering("a", [1, 2, 1, 1], spec): a run with these answers to the four reviews; None: it failed."""

    def make(name: str, answers: Sequence[int | None], spec: dict[str, Any] | None = None) -> Path:
        failed = {"state": "invalid_output", "error": "Reply is not JSON."}
        rows = [
            predict(review, answer, {1: 0.9, 2: 0.8}, **({} if answer else failed))
            for review, answer in zip(GOLD, answers, strict=True)
        ]
        return write_run(rows, golds(GOLD), name, spec=spec or {"config": {}}).path

    return make


def test_two_runs(answering: Callable[..., Path]) -> None:
    a = answering("a", [1, 1, 1, 1])
    b = answering("b", [1, 2, 1, 1], {"config": {"seed": 1, "engine": {"timeout": 9.0}}})
    result = _call(a, b)
    assert result.exit_code == 0
    assert "fixed: 1: 2" in result.stdout
    assert "config.seed" in result.stdout
    assert "also different, but decides no answer: config.engine.timeout" in result.stdout
    printed = json.loads(_call(a, b, "--json").stdout)
    assert (printed["fixed"], printed["broken"], printed["p"], printed["q"]) == ([2], [], 1.0, 1.0)
    assert printed["changed"] == {"config.seed": [None, 1]}
    assert printed["changed_aside"] == {"config.engine.timeout": [None, 9.0]}
    assert printed["failed_on"] == []


def test_any_number_of_runs_against_the_first(answering: Callable[..., Path]) -> None:
    a = answering("a", [1, 1, 1, 1])
    others = [answering("b", [1, 2, 1, 2]), answering("c", [2, 1, 2, 1]), answering("d", [1, 1, 1, None])]
    printed = json.loads(_call(a, *others, "--json").stdout)
    assert [Path(one["run"]).name for one in printed["compared"]] == ["b", "c", "d"]
    assert [(one["fixed"], one["broken"]) for one in printed["compared"]] == [
        ([2, 4], []),
        ([], [1, 3]),
        ([], []),
    ]
    assert [one["failures"]["b"] for one in printed["compared"]] == [0, 0, 1]
    text = " ".join(_call(a, *others).stdout.split())
    assert "D - A" in text
    assert "failed: 0 in A, 1 in D" in text
    assert "=== C against A" in text


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("broken>0", True),
        ("broken > 1", False),
        ("fixed<1", True),
        ("e2e<-24.9", True),
        ("e2e<=-25.1", False),
        ("p<0.05", False),
        ("p>=1", True),
        ("errors>0", False),
        ("tokens>-1", True),
    ],
)
def test_a_condition_decides_the_exit_code(
    answering: Callable[..., Path], condition: str, holds: bool
) -> None:
    a, b = answering("a", [1, 2, 1, 2]), answering("b", [1, 2, 1, 1])
    result = _call(a, b, "--fail-on", condition, "--json")
    assert result.exit_code == (1 if holds else 0)
    said = json.loads(result.stdout)["failed_on"]
    assert len(said) == holds
    assert all(line.startswith("B: ") and line in result.stderr for line in said)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("p=1", "'p=1' is no condition. It is a measure"),
        ("broken>", "is no condition"),
        ("e2e<nan", "is no condition"),
        ("brokn>1", "No measure named 'brokn'. Available: broken, e2e, errors, fixed, p, tokens"),
    ],
)
def test_what_is_no_condition(answering: Callable[..., Path], text: str, complaint: str) -> None:
    a = answering("a", [1, 2, 1, 2])
    error = _call(a, a, "--fail-on", text).exception
    assert isinstance(error, AmeliError)
    assert complaint in str(error)


def test_a_difference_that_cannot_be_told_is_no_pass(answering: Callable[..., Path]) -> None:
    a, b = answering("a", [1, 2, 1, 2]), answering("b", [None] * 4)
    error = _call(a, b, "--fail-on", "e2e<0").exception
    assert isinstance(error, AmeliError)
    assert str(error).startswith("Whether e2e<0 cannot be told")
    assert _call(a, b, "--fail-on", "errors>0").exit_code == 1


def test_all_ids(
    predict: Callable[..., PredictionRow],
    golds: Callable[..., dict[int, GoldRow]],
    write_run: Callable[..., RunFolder],
) -> None:
    gold = golds(dict.fromkeys(range(12), 2))
    a, b = (
        write_run([predict(n, answer, {1: 0.9, 2: 0.8}) for n in range(12)], gold, name).path
        for name, answer in (("a", 1), ("b", 2))
    )
    assert "fixed: 12: 0 1 2 3 4 5 6 7 8 9 ... and 2 more" in _call(a, b).stdout
    assert "fixed: 12: 0 1 2 3 4 5 6 7 8 9 10 11\n" in _call(a, b, "--all").stdout


def asking(template: str, identity: str) -> dict[str, Any]:
    comparison = {"comparators": ["rules", "entail"], "template": template}
    return {"config": {"comparison": comparison}, "templates": {template or "compare/entail": identity}}


def test_prompts_are_matched_by_what_they_are_for(answering: Callable[..., Path]) -> None:
    a, b = (
        answering("a", [1, 2, 1, 1], asking("", "x")),
        answering("b", [1, 2, 1, 2], asking("my/own.j2", "y")),
    )
    write_json(
        a / "templates.json", {"compare/entail": {"source": "Is it?\nAnswer:", "included": {"s.j2": "same"}}}
    )
    write_json(
        b / "templates.json", {"my/own.j2": {"source": "Is ~~~~ it?\nAnswer:", "included": {"s.j2": "same"}}}
    )
    prompts = json.loads(_call(a, b, "--json").stdout)["prompts"]
    change = "-Is it?\n+Is ~~~~ it?\n Answer:\n"
    assert prompts == {"comparison by entail": f"--- A template\n+++ B template\n@@ -1,2 +1,2 @@\n{change}"}
    text = _call(a, b).stdout
    assert "+Is ~~~~ it?" in text
    assert "templates." not in text, "the text of a template says more than its identity"
    markdown = _call(a, b, "--markdown").stdout
    assert markdown.startswith("| run | n |")
    assert f"| B {b} | 4 |" in markdown
    assert "~~~~~~~diff\n--- A template" in markdown, "the fence is longer than what a template holds"


def test_sources_that_were_not_kept(answering: Callable[..., Path]) -> None:
    a, b = answering("a", [1, 2, 1, 1], asking("", "x")), answering("b", [1, 2, 1, 2], asking("", "y"))
    prompts = json.loads(_call(a, b, "--json").stdout)["prompts"]
    assert prompts == {
        "comparison by entail": "compare/entail and compare/entail differ; "
        "a run that keeps no sources does not say how.\n"
    }


def test_one_run_is_too_few(answering: Callable[..., Path]) -> None:
    error = _call(answering("a", [1, 2, 1, 1])).exception
    assert str(error) == "1 runs: compare takes 2 to 26. compare RUN_A RUN_B"


def test_a_folder_that_is_no_run(answering: Callable[..., Path], tmp_path: Path) -> None:
    error = _call(answering("a", [1, 2, 1, 1]), tmp_path).exception
    assert str(error) == f"{tmp_path} is not a run folder: it has no run.json. link makes one."

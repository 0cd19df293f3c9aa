"""lint shows every fault of a template that can be seen at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ameli_llm.cli import prompts
from ameli_llm.errors import AmeliError
from ameli_llm.prompting.lint import lint
from ameli_llm.templates import load_template, prompts_folder

SOURCE = (prompts_folder() / "extract" / "json.j2").read_text(encoding="utf-8")


def faulty(folder: Path, *changes: tuple[str, str], name: str = "mine.j2") -> str:
    source = SOURCE
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    (folder / name).write_text(source, encoding="utf-8")
    return str(folder / name)


THREE = (
    ("{% block system %}", "{% block system %}{{ range(3) }}{{ reviw }}"),
    ("{% block user %}", "{% block user %}{% set x = 1 %}"),
)


def test_three_faults_of_the_body(tmp_path: Path) -> None:
    found = [finding.message for finding in lint(faulty(tmp_path, *THREE))]
    assert len(found) == 3, found
    for words in ("a call such as range(...)", "set is not available", "unknown variable 'reviw'"):
        assert sum(words in message for message in found) == 1, found


def test_faults_of_front_matter_and_body(tmp_path: Path) -> None:
    path = faulty(tmp_path, ("description:", "desciption:"), ("method: json", "method: jason"), *THREE[1:])
    found = [finding.message for finding in lint(path)]
    assert len(found) == 3, found
    assert "unknown front-matter key 'desciption'. " in found[0]
    assert "Did you mean 'description'?" in found[0]
    assert "method" in found[1]
    assert "set is not available" in found[2]


def test_missing_block_and_missing_include(tmp_path: Path) -> None:
    path = faulty(
        tmp_path, ("{% block system %}", "{% block sytem %}"), ("shared/review.j2", "shared/none.j2")
    )
    found = [finding.message for finding in lint(path)]
    assert [any(words in message for message in found) for words in (
        "no block named 'sytem'", "block 'system' is missing", "'shared/none.j2' is not in the prompt folder"
    )] == [True] * 3  # fmt: skip
    assert len(found) == 3, found


def test_the_first_of_them_is_what_loading_raises(tmp_path: Path) -> None:
    path = faulty(tmp_path, *THREE)
    with pytest.raises(AmeliError) as caught:
        load_template(path)
    assert str(caught.value) == lint(path)[0].message


def test_what_does_not_render_is_no_reason_to_hide_the_rest(tmp_path: Path) -> None:
    source = (prompts_folder() / "compare" / "entail.j2").read_text(encoding="utf-8")
    line = '{% include "shared/stated.j2" %}\n'
    assert line in source
    path = tmp_path / "mine.j2"
    path.write_text(source.replace(line, "{{ review.kye }}\n"), encoding="utf-8")
    assert {finding.code for finding in lint(str(path))} == {"invalid", "unused"}


def test_json_has_them_all(tmp_path: Path) -> None:
    app = typer.Typer()
    prompts.register(app)
    path = faulty(tmp_path, *THREE)
    result = CliRunner().invoke(app, ["prompts", "lint", path, "--json"])
    findings = json.loads(result.stdout)["findings"]
    assert [row["code"] for row in findings] == ["invalid"] * 3
    plain = CliRunner().invoke(app, ["prompts", "lint", path])
    assert plain.stdout.splitlines()[-1] == "1 checked, 3 to mend"


def test_inclusions_that_double_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    for depth in range(12):
        line = f'{{% include "shared/d{depth + 1}.j2" %}}\n' * 2 if depth < 11 else ""
        (tmp_path / "shared" / f"d{depth}.j2").write_text(line, encoding="utf-8")
    (tmp_path / "extract").mkdir()
    path = faulty(
        tmp_path, ('{% include "shared/review.j2" %}', '{% include "shared/d0.j2" %}{{ review }}'),
        name="extract/mine.j2",
    )  # fmt: skip
    assert Path(path).is_file()
    with pytest.raises(AmeliError, match="more than 100 inclusions"):
        load_template("extract/mine", tmp_path)

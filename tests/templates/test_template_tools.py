"""lint, diff and the command group ``prompts``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ameli_llm.cli import prompts
from ameli_llm.errors import AmeliError
from ameli_llm.prompting.diff import diff
from ameli_llm.prompting.lint import lint
from ameli_llm.prompting.task import closest_titles
from ameli_llm.templates import prompts_folder, template_names
from ameli_llm.templates.schema import unbounded_strings
from ameli_llm.ties import chance
from ameli_llm.types import Product, Review

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    app = typer.Typer()
    prompts.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["prompts", *arguments])


def variant(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    source = (prompts_folder() / f"{name}.j2").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    path = folder / "mine.j2"
    path.write_text(source, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", template_names())
def test_packaged_templates_are_sound(name: str) -> None:
    assert lint(name) == []


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("compare/listwise", [('choices: [labels, "0"]\nnone: "0"\n', "choices: [labels]\n")], "no_none"),
        ("compare/entail", [('{% include "shared/stated.j2" %}\n', "")], "unused"),
        ("compare/entail", [("prompt: 450", "prompt: 100")], "over_budget"),
        ("extract/terse", [("<review>\n", ""), ("</review>\n", "")], "not_delimited"),
        ("extract/json", [("{{ attribute.key }}", "{{ attribute.kye }}")], "invalid"),
        ("extract/json", [("{{ attribute.key }}", "{{ atribute.key }}")], "invalid"),
    ],
)
def test_lint_finds(tmp_path: Path, name: str, changes: list[tuple[str, str]], code: str) -> None:
    path = variant(tmp_path, name, *changes)
    assert [finding.code for finding in lint(str(path))] == [code]


def test_unbounded_strings() -> None:
    schema = {
        "properties": {"a": {"type": "string"}, "b": {"type": "string", "maxLength": 3}},
        "items": [{"enum": []}],
    }
    assert list(unbounded_strings(schema)) == ["properties.a"]


def test_diff_shows_source_and_rendering(tmp_path: Path) -> None:
    path = str(variant(tmp_path, "compare/entail", ("You judge", "You decide")))
    text = diff("compare/entail", path)
    assert text.count("-You judge whether") == text.count("+You decide whether") >= 2
    assert "--- compare/entail (source)" in text
    assert "--- compare/entail (rendered)" in text
    assert diff("compare/entail", "compare/entail") == ""


def test_cli_list_and_show(run: Run, tmp_path: Path) -> None:
    listed = json.loads(run("list", "--json").stdout)["templates"]
    assert [row["name"] for row in listed] == template_names()
    (tmp_path / "broken.j2").write_text("x", encoding="utf-8")
    lines = run("list", "--prompts", str(tmp_path)).stdout.splitlines()
    assert lines[0].split() == ["name", "task", "method", "identity", "description"]
    assert lines[1].startswith("broken ")
    assert "no front matter" in lines[1]
    assert lines[0].index("description") == lines[1].index("Template")
    shown = run("show", "extract/json").stdout
    assert shown.splitlines()[1] == "# includes shared/review.j2"
    assert json.loads(run("show", "extract/json", "--json").stdout)["front_matter"]["schema"] == {
        "form": "quoted",
        "keys": 6,
        "quote": 32,
    }


def test_cli_lint_exit_code(run: Run, tmp_path: Path) -> None:
    assert run("lint").exit_code == 0
    path = variant(tmp_path, "compare/entail", ("prompt: 450", "prompt: 100"))
    result = run("lint", str(path))
    assert result.exit_code == 1
    assert "over_budget: about " in result.stdout
    result = run("lint", str(path), "--json")
    assert [row["code"] for row in json.loads(result.stdout)["findings"]] == ["over_budget"]


def dataset(folder: Path) -> Path:
    def product(number: int, name: str, colour: str) -> dict[str, object]:
        rows = [{"specification": "Color", "value": colour}]
        spec = [{"subsection": "General", "text": rows}]
        return {"id": number, "product_name": name, "product_category": "Shop -> Blenders", "Spec": spec}

    products = [
        product(1, "Umbra Toaster", "White"),
        product(2, "Acme Breeze Blender", "Red"),
        product(3, "Acme Breeze Blender", "Black"),
    ]
    review = {"review_id": 7, "header": "Nice", "body": "My red Acme blender.", "mention": "blender"}
    review |= {"review_image_path": []}
    (folder / "dev").mkdir(parents=True)
    (folder / "products.json").write_text(json.dumps(products), encoding="utf-8")
    (folder / "dev" / "reviews.json").write_text(json.dumps([review]), encoding="utf-8")
    return folder


def test_cli_render_of_a_dataset(run: Run, tmp_path: Path) -> None:
    root = str(dataset(tmp_path / "data"))
    arguments = ["render", "compare/listwise", "--dataset", root, "--review", "7", "-k", "2"]
    record = json.loads(run(*arguments, "--json").stdout)
    assert (record["review_id"], record["candidates"]) == (7, [2, 3])
    assert record["requests"][0]["choices"] == ["A", "B", "0"]
    assert "Stated of it: Color: Red." in record["requests"][0]["messages"][1]["content"]
    result = run(*arguments)
    assert "closest titles, not retrieval" in result.stderr
    named = run(*arguments, "--candidates", "3,1", "--json")
    assert json.loads(named.stdout)["candidates"] == [3, 1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--review", "8"], "No review '8' in split 'dev' of "),
        (["--candidates", "1,x"], "No product 'x' in the dataset. It has 3; write ids as they are."),
    ],
)
def test_cli_render_mistakes(run: Run, tmp_path: Path, arguments: list[str], says: str) -> None:
    root = str(dataset(tmp_path / "data"))
    result = run("render", "compare/entail", "--dataset", root, *arguments)
    assert isinstance(result.exception, AmeliError)
    assert says in str(result.exception)


def test_cli_render_needs_the_dataset_for_a_review(run: Run) -> None:
    result = run("render", "compare/entail", "--review", "1")
    assert (
        str(result.exception)
        == "--review, --candidates and --run name parts of a dataset. Add --dataset DIR."
    )


def test_cli_diff(run: Run) -> None:
    assert run("diff", "extract/json", "extract/json").stdout == "no difference\n"
    record = json.loads(run("diff", "extract/json", "extract/terse", "--json").stdout)
    assert record["identity_a"] != record["identity_b"]
    assert "(source)" in record["diff"]


@pytest.mark.parametrize("ids", [(9, 4), (4, 9), ("B9", "B4"), (9, "B4")])
def test_equal_titles_come_by_chance(ids: tuple[int | str, ...]) -> None:
    products = [*(Product(id_, "Acme Blender") for id_ in ids), Product(1, "")]
    found = closest_titles(Review(1, "", "acme blender"), products, 3)
    assert [product.id for product in found] == [*sorted(ids, key=chance), 1]


def test_rendering_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ameli_llm.prompting.preview import preview;"
        "from ameli_llm.prompting.example import example;"
        "preview('compare/listwise', example()); heavy = {'torch', 'transformers', 'vllm', 'chromadb'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lint_of_a_scored_review_asks_for_no_tags(tmp_path: Path) -> None:
    assert lint("compare/likelihood") == []
    path = variant(tmp_path, "compare/likelihood", ("prompt: ", "prompt: 1 # "))
    assert [finding.code for finding in lint(str(path))] == ["over_budget"]
    path = variant(tmp_path, "compare/likelihood", ("{% block assistant %}", "{% block asistant %}"))
    unknown, missing = [finding.message for finding in lint(str(path))]
    assert "no block named 'asistant'; blocks are system, user and assistant." in unknown
    assert "block 'assistant' is missing. Write {% block assistant %}...{% endblock %}." in missing


def test_cli_render_shows_what_is_scored(run: Run, tmp_path: Path) -> None:
    root = str(dataset(tmp_path / "data"))
    arguments = ["render", "compare/likelihood", "--dataset", root, "--review", "7", "-k", "2"]
    text = run(*arguments).stdout
    assert text.count("prompt tokens, the last message is scored, nothing comes back)") == 2
    assert text.count("--- assistant\nNice\nMy red Acme blender.\n") == 2
    assert "Product: Acme Breeze Blender.\nColor: Red.\n" in text
    assert " back)" in text
    assert "at most" not in text
    requests = json.loads(run(*arguments, "--json").stdout)["requests"]
    assert [request["scored"] for request in requests] == [True, True]
    assert [request["choices"] for request in requests] == [[], []]
    assert requests[0]["messages"][-1] == {"role": "assistant", "content": "Nice\nMy red Acme blender."}
    others = json.loads(run("render", "compare/entail", "--json").stdout)["requests"]
    assert {request["scored"] for request in others} == {False}

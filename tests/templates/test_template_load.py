"""Template files: found, checked, and named with what is wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.templates import load_template, template_names
from ameli_llm.templates.load import MAX_BYTES

HEAD = """\
---
description: mine
task: extract
method: json
schema: {form: plain, keys: 3}
sampling: {max_tokens: 20}
placeholders:
  required: [review]
  allowed: [mention, attributes]
---
"""
SYSTEM = "{% block system %}\nRead.\n{% endblock %}\n"
BLOCKS = SYSTEM + "{% block user %}\n<review>\n{{ review }}\n</review>\n{% endblock %}\n"


def write(folder: Path, text: str, name: str = "extract/mine.j2") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def user(content: str) -> str:
    return HEAD + SYSTEM + "{% block user %}\n{{ review }}\n" + content + "\n{% endblock %}\n"


def message(folder: Path, text: str) -> str:
    write(folder, text)
    with pytest.raises(AmeliError) as caught:
        load_template("extract/mine", folder)
    return str(caught.value)


def test_packaged_templates_are_found() -> None:
    assert template_names() == [
        "compare/entail",
        "compare/likelihood",
        "compare/listwise",
        "compare/pairwise",
        "extract/gpt2",
        "extract/json",
        "extract/open",
        "extract/terse",
    ]


def test_own_folder_comes_first_and_a_path_works(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + BLOCKS, "extract/json.j2")
    assert load_template("extract/json", tmp_path).front.description == "mine"
    assert load_template(str(path)).front.description == "mine"
    assert load_template("extract/json").front.description != "mine"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("extract/jsn", "No template named 'extract/jsn'. Available: compare/entail, "),
        ("extract/jsn", "Did you mean 'extract/json'?"),
        ("../secret", "No template named '../secret'."),
        ("shared/review", "No template named 'shared/review'."),
        ("nowhere.j2", "No template file nowhere.j2. Give a path to a .j2 file or a template's name."),
    ],
)
def test_unknown_name(name: str, says: str) -> None:
    with pytest.raises(AmeliError) as caught:
        load_template(name)
    assert says in str(caught.value)


def test_unknown_folder(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match=r"No prompt folder .*gone"):
        template_names(tmp_path / "gone")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BLOCKS, "Template extract/mine: no front matter."),
        (
            HEAD.replace("max_tokens: 20", "max_token: 20") + BLOCKS,
            "Template extract/mine: unknown front-matter key 'sampling.max_token'. "
            "Available: max_tokens, seed, temperature, top_p. Did you mean 'max_tokens'?",
        ),
        (HEAD.replace("---\nd", "---\nauthor: me\nd") + BLOCKS, "unknown front-matter key 'author'."),
        (HEAD.replace("sampling: {max_tokens: 20}\n", "") + BLOCKS, "front matter lacks 'sampling'."),
        (HEAD.replace("method: json", "method: listwise") + BLOCKS, "does not belong to task 'extract'."),
        (HEAD.replace("schema: {form: plain, keys: 3}\n", "") + BLOCKS, "method 'json' needs a schema"),
        (HEAD.replace("mention, ", "mentoin, ") + BLOCKS, "Did you mean 'mention'?"),
        (HEAD.replace("mine", "a: b: c") + BLOCKS, "line 2: front matter is not YAML"),
        (HEAD.replace("mine", "&a x\nnone: *a") + BLOCKS, "YAML aliases (*name) are not allowed"),
        ("---\n- a\n---\n" + BLOCKS, "front matter is not a list of 'key: value' lines."),
        (HEAD + SYSTEM, "block 'user' is missing. Write {% block user %}...{% endblock %}."),
        (HEAD + BLOCKS.replace(SYSTEM, ""), "block 'system' is missing."),
        (HEAD + "hello\n" + BLOCKS, "text outside of the blocks system and user."),
        (HEAD + BLOCKS.replace("system", "sistem"), "line 11: no block named 'sistem'"),
        (HEAD + SYSTEM + "{% block user %}x{% endblock %}", "required variable 'review' is never used."),
        (HEAD + BLOCKS + "x" * MAX_BYTES, "a template has at most 65536."),
    ],
)
def test_broken_files(tmp_path: Path, text: str, says: str) -> None:
    assert says in message(tmp_path, text)


def test_yaml_booleans_as_choices_are_explained(tmp_path: Path) -> None:
    head = (
        HEAD.replace("extract", "compare").replace("json", "entail").replace("[mention, attributes]", "[key]")
    )
    head = head.replace("schema: {form: plain, keys: 3}", "choices: [yes, no]")
    assert 'write it in quotes: "yes"' in message(tmp_path, head + BLOCKS)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{{ reveiw }}", "unknown variable 'reveiw'. Available: attributes, mention, review. Did"),
        ("{{ ''.__class__ }}", "line 16: '__class__' is not available in templates."),
        ("{{ review['__class__'] }}", None),
        ("{% for i in range(10**9) %}x{% endfor %}", "a call such as range(...) is not available"),
        ("{% for i in 'abc' %}x{% endfor %}", "a loop runs over a variable or one of its fields."),
        ("{% for a in attributes %}" * 3 + "{% endfor %}" * 3, "more than 2 nested loops."),
        ("{% set x = review %}", "set is not available in templates."),
        ("{% macro f() %}{% endmacro %}", "macro is not available in templates."),
        ("{% import 'x' as y %}", "import is not available in templates."),
        ("{{ 'x' * 1000000000 }}", "mul is not available in templates."),
        ("{{ review ~ review }}", "concat is not available in templates."),
        ("{{ review|replace('a', 'b') }}", "no filter named 'replace'. Available: join, length"),
        ("{{ review|join(review) }}", "the arguments of 'join' must be constants."),
        ("{{ review|jon }}", "Did you mean 'join'?"),
        ("{{ review is callable }}", "no test named 'callable'."),
        ("{% if review %}", "line 17: Encountered unknown tag 'endblock'."),
        ("{{ review ", "line 17: expected token 'end of print statement', got '{'."),
        ("{% include '../../etc/passwd' %}", "cannot include '../../etc/passwd'."),
        ("{% include '/etc/passwd.j2' %}", "cannot include '/etc/passwd.j2'."),
        ("{% include 'shared/gone.j2' %}", "included file 'shared/gone.j2' is not in the prompt folder."),
        ("{% include mention %}", "include takes one file name in quotes."),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "expressions are nested too deeply."),
    ],
)  # fmt: skip
def test_hostile_and_mistaken_templates(tmp_path: Path, content: str, says: str | None) -> None:
    if says is None:
        write(tmp_path, user(content))
        load_template("extract/mine", tmp_path)
    else:
        assert says in message(tmp_path, user(content))


def test_includes_are_checked_and_may_not_include_themselves(tmp_path: Path) -> None:
    write(tmp_path, "{{ rewiev }}", "shared/mine.j2")
    assert "Template shared/mine.j2, line 1: unknown variable 'rewiev'." in message(
        tmp_path, user("{% include 'shared/mine.j2' %}")
    )
    write(tmp_path, "{% include 'shared/mine.j2' %}", "shared/mine.j2")
    assert "shared/mine.j2 includes itself." in message(tmp_path, user("{% include 'shared/mine.j2' %}"))
    write(tmp_path, "{% block a %}{% endblock %}", "shared/mine.j2")
    assert "an included file has no blocks." in message(tmp_path, user("{% include 'shared/mine.j2' %}"))


def test_identity_changes_with_source_include_and_sampling_only(tmp_path: Path) -> None:
    def identity(text: str) -> str:
        write(tmp_path, text)
        return load_template("extract/mine", tmp_path).identity

    write(tmp_path, "one", "shared/mine.j2")
    text = user("{% include 'shared/mine.j2' %}")
    first = identity(text)
    assert len(first) == 64
    assert identity(text) == first
    assert identity(text.replace("max_tokens: 20", "max_tokens: 21")) != first
    assert identity(text.replace("Read.", "Read!")) != first
    assert identity(text.replace("keys: 3", "keys: 4")) != first
    write(tmp_path, "two", "shared/mine.j2")
    assert identity(text) != first


def test_not_utf8(tmp_path: Path) -> None:
    write(tmp_path, "").write_bytes(b"---\n\xff\xfe\n---\n")
    with pytest.raises(AmeliError, match="Template extract/mine is not UTF-8 text"):
        load_template("extract/mine", tmp_path)


SCORED = """\
---
description: mine
task: compare
method: likelihood
sampling: {max_tokens: 1}
placeholders:
  required: [review, name]
---
"""
PAGE = "{% block user %}\nProduct: {{ name }}.\n{% endblock %}\n"
SAID = "{% block assistant %}\n{{ review }}\n{% endblock %}\n"


def test_what_is_scored_stands_in_a_block_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, SCORED + PAGE + SAID, "compare/mine.j2")
    assert set(load_template("compare/mine", tmp_path).compiled.blocks) == {"user", "assistant"}
    write(tmp_path, SCORED + SYSTEM + PAGE + SAID, "compare/mine.j2")
    assert set(load_template("compare/mine", tmp_path).compiled.blocks) == {"system", "user", "assistant"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            SCORED + PAGE + "{# {{ review }} #}",
            "block 'assistant' is missing. Write {% block assistant %}...{% endblock %}.",
        ),
        (SCORED + SAID, "block 'user' is missing."),
        (SCORED + PAGE + SAID + SAID, "block 'assistant' defined twice."),
        (
            SCORED + PAGE + SAID.replace("assistant", "reply"),
            "line 12: no block named 'reply'; blocks are system, user and assistant.",
        ),
        (SCORED + "hello\n" + PAGE + SAID, "text outside of the blocks system, user and assistant."),
        (
            SCORED.replace("sampling", "choices: [a, b]\nsampling") + PAGE + SAID,
            "choices do not fit method 'likelihood': ",
        ),
        (
            SCORED.replace("sampling", "schema: {form: plain, keys: 3}\nsampling") + PAGE + SAID,
            "method 'json' needs a schema, and no other method has one",
        ),
        (SCORED.replace("compare", "extract") + PAGE + SAID, "does not belong to task 'extract'."),
        (
            SCORED.replace("name]", "name, keys]") + PAGE.replace("name", "keys") + SAID,
            "variable 'keys' is not given to method 'likelihood'.",
        ),
        (SCORED + PAGE + SAID.replace("{{ review }}", "x"), "required variable 'review' is never used."),
        (HEAD + BLOCKS + SAID, "no block named 'assistant'; blocks are system and user."),
        (
            SCORED.replace("likelihood", "listwise").replace("sampling", "choices: [labels, '0']\nsampling")
            .replace("name]", "candidates]") + SYSTEM + PAGE.replace("name", "candidates") + SAID,
            "no block named 'assistant'; blocks are system and user.",
        ),
    ],
)  # fmt: skip
def test_broken_files_of_what_is_scored(tmp_path: Path, text: str, says: str) -> None:
    assert says in message(tmp_path, text)

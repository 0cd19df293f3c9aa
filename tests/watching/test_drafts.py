"""Drafts of templates: where they stand, what they mean, and which configuration sends them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.config import RunConfig, override
from ameli_llm.errors import AmeliError
from ameli_llm.templates.load import load_template
from eval.watching.drafts import Draft, examined, laid_out, meaning, read_draft
from eval.watching.placing import placed
from tests.watching.planted import template, write

SERVED = override(RunConfig(), ["engine.name=vllm_server"])
SOUND = template(1)


def meant(source: str, prompts: Path | None = None) -> str:
    draft = Draft("compare/mine", source)
    with laid_out(draft, prompts) as folder:
        return meaning(load_template(draft.name, folder))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("Answer:", "{# a note #}\nAnswer:", True),
        ("Answer:", "An{# a note #}swer:", True),
        ("---\n{% block", "---\n{# a note #}\n{% block", True),
        ("---\n{% block", "---   \n{% block", True),
        ("planted", "said otherwise", True),
        ("task: compare", "# why\ntask: compare", True),
        ("Answer:", "Answer now:", False),
        ("{% for key in keys %}", "{% for key in  keys %}", True),
        ("review: 240", "review: 200", False),
        ("{{ candidate.name }}", "{{ candidate.name|upper }}", False),
        ("candidate.label }}. ", "candidate.label }}.  ", False),
    ],
)
def test_only_what_is_sent_means_something(old: str, new: str, same: bool) -> None:
    assert old in SOUND
    assert (meant(SOUND.replace(old, new)) == meant(SOUND)) is same


def test_an_included_file_means_something(tmp_path: Path) -> None:
    plain = "<review>\n{{ review }}{% if mention or stated %}{% endif %}\n</review>\n"
    write(tmp_path, "shared/review", plain)
    first = meant(SOUND, tmp_path)
    write(tmp_path, "shared/review", "{# shorter #}\n" + plain)
    assert meant(SOUND, tmp_path) == first
    write(tmp_path, "shared/review", plain + "Read it well.\n")
    assert meant(SOUND, tmp_path) != first


@pytest.mark.parametrize(
    "name", ["../outside", "/tmp/outside", "a/../../outside", "", "a\\b", "shared/review", "a\0b"]
)
def test_a_draft_stands_in_its_folder_only(name: str) -> None:
    with pytest.raises(AmeliError, match="name of a template"), laid_out(Draft(name, SOUND)):
        pass


def test_a_name_that_no_file_can_have_is_named() -> None:
    with pytest.raises(AmeliError, match="File name too long"), laid_out(Draft("x" * 300, SOUND)):
        pass


def test_a_draft_that_is_too_long_is_refused() -> None:
    with pytest.raises(AmeliError, match="at most 65536"), laid_out(Draft("compare/mine", "x" * 70_000)):
        pass


def test_saves_do_not_reach_what_is_laid_out(tmp_path: Path) -> None:
    write(tmp_path, "compare/mine", SOUND)
    with laid_out(read_draft("compare/mine", tmp_path), tmp_path) as folder:
        write(tmp_path, "compare/mine", template(2))
        assert "Plan 1" in load_template("compare/mine", folder).source
    assert not folder.exists()


@pytest.mark.parametrize("inside", [True, False])
def test_a_path_is_a_template_too(tmp_path: Path, inside: bool) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    path = write(prompts if inside else tmp_path / "elsewhere", "compare/mine", SOUND)
    assert read_draft(str(path), prompts) == Draft("compare/mine" if inside else "mine", SOUND)


def test_lint_knows_a_draft_by_its_name() -> None:
    now = examined(Draft("compare/mine", SOUND.replace("{{ none_label }}", "{{ nobody }}")))
    assert now.identity == ""
    assert {one.template for one in now.findings} == {"compare/mine"}
    assert any("nobody" in one.message for one in now.findings)
    assert examined(Draft("compare/mine", SOUND)).identity


def test_a_template_that_loads_and_does_not_render_is_not_sound() -> None:
    now = examined(Draft("compare/mine", SOUND.replace("candidate.name", "candidate.nmae")))
    assert (now.identity, {one.code for one in now.findings}) == ("", {"invalid"})


@pytest.mark.parametrize(
    ("name", "settings", "extractors", "comparators", "sent"),
    [
        ("compare/listwise", (), ("rules", "ocr", "llm"), ("rules", "names", "listwise"), "compare/listwise"),
        ("compare/pairwise", (), ("rules", "ocr", "llm"), ("rules", "names", "pairwise"), "compare/pairwise"),
        (
            "compare/entail",
            ("comparison.comparator=none",),
            ("rules", "ocr", "llm"),
            ("entail",),
            "compare/entail",
        ),
        ("extract/terse", (), ("rules", "ocr", "llm"), ("rules", "names", "listwise"), "extract/terse"),
        (
            "extract/terse",
            ("attributes.extractors=[rules]",),
            ("rules", "llm"),
            ("rules", "names", "listwise"),
            "extract/terse",
        ),
    ],
)
def test_a_template_takes_the_place_of_its_task(
    name: str, settings: tuple[str, ...], extractors: tuple[str, ...], comparators: tuple[str, ...], sent: str
) -> None:
    made = placed(override(SERVED, settings), load_template(name))
    assert (made.attributes.extractors, made.comparison.comparators) == (extractors, comparators)
    assert sent in (made.attributes.template, made.comparison.template)


def test_without_an_engine_nothing_is_placed() -> None:
    made = placed(RunConfig(), load_template("compare/listwise"))
    assert (made.comparison.comparators, made.comparison.template) == (("rules", "names"), "")


def test_two_that_send_templates_cannot_send_one() -> None:
    both = override(SERVED, ["comparison.comparators=[listwise, pairwise]"])
    with pytest.raises(AmeliError, match="names one template"):
        placed(both, load_template("compare/listwise"))

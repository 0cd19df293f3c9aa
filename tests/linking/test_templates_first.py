"""Own templates by --prompts; and what a configuration gets wrong is found before a run folder is made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ameli_llm.config import RunConfig, override
from ameli_llm.errors import AmeliError
from ameli_llm.parts import Parts
from ameli_llm.resolution import resolve
from ameli_llm.runs import RunFolder
from ameli_llm.templates import Template, load_template, prompts_folder

SERVED = ("--engine", "vllm_server", "--set", "engine.base_url=http://127.0.0.1:9/v1")


def served(*settings: str) -> RunConfig:
    return resolve(override(RunConfig(), ["engine.name=vllm_server", *settings]))


def templates(config: RunConfig, prompts: Path | None = None) -> dict[str, Template]:
    def encode(texts: Sequence[str]) -> NoReturn:
        pytest.fail(f"encoded {texts}")

    return Parts(config, None, prompts, lambda name: None, encode).templates()


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A folder with a template of its own, and one in the place of a packaged one."""
    folder = tmp_path / "prompts" / "compare"
    folder.mkdir(parents=True)
    shutil.copy(prompts_folder() / "compare" / "listwise.j2", folder / "mine.j2")
    source = (prompts_folder() / "compare" / "listwise.j2").read_text(encoding="utf-8")
    (folder / "listwise.j2").write_text(source.replace("description: ", "description: My "), encoding="utf-8")
    return folder.parent


def test_a_folder_of_templates_goes_first(prompts: Path) -> None:
    packaged, own = templates(served()), templates(served(), prompts)
    assert packaged.keys() == own.keys() == {"extract/json", "compare/listwise"}
    assert packaged["extract/json"] == own["extract/json"]
    assert own["compare/listwise"] == load_template("compare/listwise", prompts)
    assert own["compare/listwise"] != packaged["compare/listwise"]


def test_without_a_model_nothing_is_sent() -> None:
    assert templates(resolve(RunConfig())) == {}


@pytest.mark.parametrize(("command", "split"), [("link", "test"), ("tune", "dev"), ("ablate", "test")])
def test_every_command_that_asks_a_model_takes_the_folder(
    here: Callable[..., Any], dataset: Path, prompts: Path, tmp_path: Path, command: str, split: str
) -> None:
    """The template is found in the folder: it is refused for its method, and not for its name."""
    words = (command, dataset, "--split", split, "--out", tmp_path / "out", *SERVED)
    words = (*words, "--set", "comparison.comparator=entail", "--set", "comparison.template=compare/mine")
    assert here(*words).error.startswith("No template named 'compare/mine'. Available: compare/entail, ")
    assert here(*words, "--prompts", prompts).error == (
        "Template 'compare/mine' is for listwise, not for entail. "
        "ameli-llm prompts list shows what each template is for."
    )
    assert here(*words, "--prompts", tmp_path / "none").error.startswith("No prompt folder ")
    assert not (tmp_path / "out").exists()


def broken(folder: Path, name: str, old: str, new: str) -> str:
    source = (prompts_folder() / f"{name}.j2").read_text(encoding="utf-8")
    assert old in source
    path = folder / "broken.j2"
    path.write_text(source.replace(old, new), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["comparison.template=compare/none"], "No template named 'compare/none'"),
        (["comparison.template=compare/entail"], "Template 'compare/entail' is for entail, not for listwise"),
        (["attributes.template=compare/entail"], "Template 'compare/entail' is for entail, not for extract"),
        (["attributes.template=none.j2"], "No template file none.j2"),
        (["retrieval.candidates=53"], "The comparator 'listwise' compares at most 52 candidates"),
        (["engine.name=transformers"], "Engine 'transformers' needs a model"),
        (["engine.name=vllm_sever"], "No engine named 'vllm_sever'"),
        (["engine.name=none", "comparison.comparator=listwise"], "The comparator 'listwise' asks a model"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_no_run_folder_is_made(
    here: Callable[..., Any], dataset: Path, tmp_path: Path, settings: list[str], complaint: str
) -> None:
    named = [word for setting in settings for word in ("--set", setting)]
    done = here("link", dataset, "--split", "test", "--out", tmp_path / "out", *SERVED, *named)
    assert done.error.startswith(complaint)
    assert not (tmp_path / "out").exists()


def test_a_template_that_does_not_render_is_found_before_the_model_is_opened(
    here: Callable[..., Any], dataset: Path, tmp_path: Path
) -> None:
    path = broken(tmp_path, "extract/json", "{{ attribute.key }}", "{{ attribute.kye }}")
    words = ("link", dataset, "--split", "test", "--out", tmp_path / "out", *SERVED)
    done = here(*words, "--set", f"attributes.template={path}")
    assert done.error == f"Template {path}: no field 'kye'. Available: key, values. Did you mean 'key'?"
    assert not (tmp_path / "out").exists()


def test_a_folder_that_an_error_leaves_empty_does_not_stay(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match="canary"), RunFolder(tmp_path / "new"):
        raise AmeliError("canary")
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_stays(tmp_path: Path) -> None:
    with pytest.raises(AmeliError), RunFolder(tmp_path / "new") as folder:  # noqa: PT012
        folder.write_manifest({})
        raise AmeliError("later")
    assert (tmp_path / "new" / "run.json").is_file()
    (tmp_path / "old").mkdir()
    with pytest.raises(AmeliError), RunFolder(tmp_path / "old"):
        raise AmeliError("canary")
    assert (tmp_path / "old").is_dir()


def test_a_model_that_only_scores_is_sent_one_template() -> None:
    resolved = resolve(override(RunConfig(), ["engine.name=transformers", "engine.model=smollm2"]))
    assert templates(resolved).keys() == {"compare/likelihood"}

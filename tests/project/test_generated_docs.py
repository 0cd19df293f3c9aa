"""Pages made from the program say what it is now, and no page shows a command or file that does not exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
MADE = ("architecture.md", "baselines.md", "commands.md", "configuration.md", "extractors.md", "library.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), *arguments]
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in MADE:
        shutil.copy(ROOT / "docs" / name, tmp_path)
    return tmp_path


def test_the_pages_are_up_to_date() -> None:
    done = generate("--check")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_stale_pages_are_named_and_written_again(copy: Path) -> None:
    pages = {name: copy / name for name in MADE[:2]}
    right = {name: page.read_text(encoding="utf-8") for name, page in pages.items()}
    stale = {
        name: re.sub(r"^\| `.*\n", "", text, count=1, flags=re.MULTILINE) for name, text in right.items()
    }
    # Its first table is written by hand.
    stale["architecture.md"] = right["architecture.md"].replace("| `flow.py` |", "| `gone.py` |")
    for name, page in pages.items():
        assert stale[name] != right[name]
        page.write_text(stale[name], encoding="utf-8")
    checked = generate("--check", "--folder", str(copy))
    told = "".join(f"{name}: out of date\n" for name in pages) + "Write them with: python docs/generate.py\n"
    assert (checked.stdout, checked.returncode) == (told, 1), checked.stderr
    assert {name: page.read_text(encoding="utf-8") for name, page in pages.items()} == stale
    written = generate("--folder", str(copy))
    told = "".join(f"{name}: written\n" for name in pages)
    assert (written.stdout, written.returncode) == (told, 0), written.stderr
    assert {name: page.read_text(encoding="utf-8") for name, page in pages.items()} == right


def reference() -> dict[str, set[str]]:
    """Options by command, as commands.md lists them."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            name = line.removeprefix("## ")
            found[name] = {"--help", "-h"}
        elif name and (option := re.match(r"\| `(--?[\w-]+)", line)):
            found[name].add(option[1])
    return found


def shown_commands() -> Iterator[tuple[str, str]]:
    """Every command line of the program in a shell block, with the page that shows it."""
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            lines = block.splitlines() if language == "sh" else []
            yield from ((page.name, line) for line in lines if line.startswith("ameli-llm "))


SHOWN = sorted(set(shown_commands()))


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=[f"{page}-{line}" for page, line in SHOWN])
def test_shown_commands_exist(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    known = reference()
    command = next(name for size in (3, 2) if (name := " ".join(words[:size])) in known or size == 2)
    assert command in known, f"{page}: no command {command!r}"
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known[command], f"{page}: {line}"


def test_links_lead_to_files() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).is_file()
    ]
    assert broken == []


def test_shown_scripts_exist() -> None:
    shown = {
        script
        for page in PAGES
        for script in re.findall(r"python ((?:docs|benchmarks)/\w+\.py)", page.read_text(encoding="utf-8"))
    }
    assert "docs/generate.py" in shown
    assert [script for script in sorted(shown) if not (ROOT / script).is_file()] == []

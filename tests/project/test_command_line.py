"""The command line as a whole: help at 80 columns, wrong usage in one line, completion, what is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from ameli_llm import cli

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ameli_llm", *arguments],
        **{"cwd": ROOT, "env": os.environ | {"COLUMNS": "80"} | environment},
        **{"capture_output": True, "text": True, "timeout": 120, "check": False},
    )


def test_help_fits_80_columns_with_a_whole_line_for_each_command() -> None:
    shown = run("--help").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "..." not in shown.replace("[ARGS]...", "")
    assert "Other:" not in shown
    order = [line.split()[0] for line in shown.partition("Start:")[2].splitlines() if line.startswith("  ")]
    assert order[:2] == ["demo", "doctor"]
    assert sorted(order) == sorted(name for names in cli.SECTIONS.values() for name in names)


@pytest.mark.parametrize("group", ["data", "prompts", "reproduce"])
def test_help_of_a_group_cuts_no_line(group: str) -> None:
    listed = run(group, "--help").stdout.partition("Commands:")[2]
    assert listed.strip()
    assert "..." not in listed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lnk"], "error: No such command 'lnk'"),
        (["link", "x", "--foo"], "error: No such option: --foo"),
        (["link", "x", "--split", "dev"], "error: Missing option '--out'"),
        (["link", "x", "--split", "dev", "--out", "y", "--limit", "0"], "error: Invalid value for '--limit'"),
        (["data", "synth", "x", "--seed", "\x1b[2J"], "error: Invalid value for '--seed'"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(says), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.endswith("--help\n")
    assert "\x1b" not in done.stderr


def test_a_group_without_a_command_shows_its_help() -> None:
    done = run("prompts")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ameli-llm prompts ")


def completed(words: str) -> list[str]:
    done = run(
        _AMELI_LLM_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1)
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("ameli-llm re", ["retrieve", "report", "reproduce"]),
        ("ameli-llm link DATASET --split ", ["train", "dev", "test"]),
        ("ameli-llm link DATASET --engine vllm", ["vllm", "vllm_server"]),
        (
            "ameli-llm prompts show compare/",
            ["compare/entail", "compare/likelihood", "compare/listwise", "compare/pairwise"],
        ),
        ("ameli-llm reproduce table5 DATASET --preset ", ["paper", "official"]),
    ],
)
def test_completion(words: str, values: list[str]) -> None:
    assert completed(words) == values


def test_completion_knows_the_folder_of_own_templates(tmp_path: Path) -> None:
    (tmp_path / "compare").mkdir()
    (tmp_path / "compare" / "mine.j2").touch()
    assert completed(f"ameli-llm prompts show --prompts {tmp_path} compare/m") == ["compare/mine"]


def test_the_completion_script_can_be_shown() -> None:
    done = run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (done.returncode, "complete -o default -F" in done.stdout) == (0, True)


def test_foreign_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--evil--\x1b[2Jname" / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    shown = run("doctor", HF_HUB_CACHE=str(tmp_path)).stdout
    assert "evil/\N{REPLACEMENT CHARACTER}[2Jname" in shown
    assert "\x1b" not in shown
    template = tmp_path / "mine.j2"
    source = (ROOT / "prompts" / "extract" / "json.j2").read_text(encoding="utf-8")
    template.write_text(source.replace("You read", "\x1b[2JYou read"), encoding="utf-8")
    for command in ("show", "render"):
        shown = run("prompts", command, str(template)).stdout
        assert "You read a product review" in shown
        assert "\x1b" not in shown


SLOW_TO_IMPORT = ("numpy", "scipy", "pydantic", "yaml", "jinja2", "PIL", "rich.markdown", "openai")


def test_help_imports_next_to_nothing() -> None:
    code = (
        "import sys\n"
        "from ameli_llm.cli import main\n"
        "sys.argv = ['ameli-llm', '--help']\n"
        "try: main()\n"
        "except SystemExit: print([name for name in sys.argv[1:] if name in sys.modules] or 'help')\n"
        f"print([name for name in {SLOW_TO_IMPORT} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_has_a_section() -> None:
    cli._groups()
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    assert set(commands) == {name for names in cli.SECTIONS.values() for name in names}

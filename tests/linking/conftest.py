"""One tiny dataset and its index for the whole folder, and the command line in and out of process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHEAP = (
    *("--set", "retrieval.weights={title: 5.0, image: 20.0}"),
    *("--set", "attributes.extractors=[rules]"),
)
"""A pipeline without torch and without OCR: seconds a run."""


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of the error; fails when there is more, or a traceback."""
        assert self.code == 2, self
        assert "Traceback" not in self.err
        assert self.out == ""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert self.err.endswith(f"{lines[0]}\n"), self.err
        return lines[0].removeprefix("error: ")

    @property
    def json(self) -> Any:
        """The one JSON object of ``--json``."""
        return json.loads(self.out)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ameli_llm", *map(str, arguments)]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of all runs here: index, OCR results, replies."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache))


@pytest.fixture(scope="session")
def start(cache: Path) -> Callable[..., subprocess.Popen[str]]:
    """start(*arguments): the real command as a process of its own."""

    def begin(*arguments: object, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            env=os.environ | {"AMELI_LLM_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    return begin


@pytest.fixture(scope="session")
def ameli(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Done]:
    """ameli(*arguments): the real command, run to its end."""

    def run(*arguments: object, **options: Any) -> Done:
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=280)
        return Done(process.returncode, out, err)

    return run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """here(*arguments): the same entry point in this process, which has its imports behind it."""
    from ameli_llm import cli

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["ameli-llm", *map(str, arguments)])
        monkeypatch.setattr(cli, "app", fresh_app(cli.app))
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return run

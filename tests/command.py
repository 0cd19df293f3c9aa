"""The command line in this process, which has its imports behind it, and as a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from ameli_llm import cli

ROOT = Path(__file__).parents[1]

NOT_IGNORED = ("env", "--default-signal=INT")
"""Words before a command that Ctrl-C has to reach: a suite that runs in the background has it ignored."""


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
        assert self.out, self.err
        return json.loads(self.out)


def command(*words: object) -> Done:
    """The real entry point, as ``ameli-llm`` with these words."""
    written, err, code = io.BytesIO(), io.StringIO(), 0
    out = io.TextIOWrapper(written, encoding="utf-8", newline="", write_through=True)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["ameli-llm", *map(str, words)])
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, written.getvalue().decode(), err.getvalue())


@contextmanager
def running(
    *words: object,
    before: Sequence[str] = NOT_IGNORED,
    stdin: int = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.PIPE,
    **environment: str,
) -> Iterator[subprocess.Popen[str]]:
    """``ameli-llm`` with these words as a process of its own, behind the words ``before``.

    What runs at the end of the block is killed.
    """
    with subprocess.Popen(
        [*before, sys.executable, "-m", "ameli_llm", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(process: subprocess.Popen[str]) -> Done:
    """What a process leaves at its end, which has to come by itself or by a signal that it was sent."""
    out, err = process.communicate(timeout=280)
    return Done(process.returncode, out, err)

"""The command line in this process, which has its imports behind it."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest

from ameli_llm import cli

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

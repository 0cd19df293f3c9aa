"""The service as a process, with the log that it writes."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command import running
from tests.service.conftest import CHEAP


@dataclass(frozen=True)
class Served:
    """A process, and the file that its log goes to."""

    process: subprocess.Popen[str]
    log: Path
    address: str

    def lines(self) -> list[dict[str, Any]]:
        """The log, without what is said before it begins."""
        text = self.log.read_text("utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@contextmanager
def served(shop: Path, folder: Path, *words: object, **environment: str) -> Iterator[Served]:
    """A service over the shop that listens; ``folder`` gets its log. It is killed at the end of the block."""
    log = folder / "log.jsonl"
    settings = [word for setting in CHEAP for word in ("--set", setting)]
    line = ("serve", shop, "--port", 0, *words, *settings)
    with log.open("wb") as stream, running(*line, stderr=stream, **environment) as process:
        while not (found := re.search(r'"serving", "address": "([^"]+)"', log.read_text("utf-8"))):
            assert process.poll() is None, log.read_text("utf-8")
            time.sleep(0.05)
        yield Served(process, log, found[1])

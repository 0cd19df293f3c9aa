"""The architecture page names every module once, in the section of its folder, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
FOLDERS = ("dataset", "attributes", "comparison", "engines", "fusion")


def listed() -> Counter[str]:
    """Paths in the module list: a heading names the folder, the first cell of a row the module."""
    found: Counter[str] = Counter()
    folder = ""
    for line in PAGE.read_text(encoding="utf-8").partition("## Modules\n")[2].splitlines():
        if heading := re.fullmatch(r"### `([\w/]+)/`", line):
            folder = heading[1]
        elif row := re.fullmatch(r"\| `(\w+\.py)` \| (.+) \|", line):
            assert len(row[2]) > 15, f"{folder}/{row[1]} says nothing"
            found[f"{folder}/{row[1]}"] += 1
    return found


def test_every_module_has_its_line_and_nothing_else_has() -> None:
    modules = Counter(
        path.relative_to(ROOT).as_posix()
        for package in ("ameli_llm", "retrieval", "eval")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    )
    assert listed() == modules


def test_paths_in_the_text_exist() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Modules\n")[0]
    paths = set(re.findall(r"`((?:ameli_llm|retrieval|eval|prompts|tests|docs)/[\w./]*)`", text))
    assert {f"ameli_llm/{name}/" for name in FOLDERS} <= paths
    assert [path for path in sorted(paths) if "NAME" not in path and not (ROOT / path).exists()] == []

"""Two templates side by side: their sources, and what they send for the same invented review."""

from __future__ import annotations

import difflib
from pathlib import Path

from ameli_llm.comparison.comparator import ComparisonTask
from ameli_llm.prompting.example import example
from ameli_llm.prompting.preview import as_text, preview
from ameli_llm.templates.load import load_template


def diff(left: str, right: str, folder: Path | None = None, task: ComparisonTask | None = None) -> str:
    """Unified diffs of source and rendering, "" when both are the same.

    ``left`` and ``right`` are names or paths of .j2 files; ``task`` is rendered, the invented example by
    default.
    """
    shown = example() if task is None else task
    parts = [
        _unified(
            load_template(left, folder).source, load_template(right, folder).source, left, right, "source"
        ),
        _unified(
            as_text(preview(left, shown, folder)),
            as_text(preview(right, shown, folder)),
            left,
            right,
            "rendered",
        ),
    ]
    return "".join(parts)


def _unified(old: str, new: str, left: str, right: str, what: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{left} ({what})", f"{right} ({what})", lineterm="", n=2
    )
    return "".join(f"{line}\n" for line in lines)

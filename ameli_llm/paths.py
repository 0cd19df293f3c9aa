"""Where files live that are neither the dataset nor the run: indexes, OCR results and model replies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The folder for everything that can be made again; AMELI_LLM_CACHE names another one."""
    chosen = os.environ.get("AMELI_LLM_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("ameli-llm"))


def index_dir(dataset: Path) -> Path:
    """The default index folder of a dataset; datasets of one name at two places do not share it."""
    place = hashlib.sha256(str(dataset.resolve()).encode()).hexdigest()[:12]
    return cache_dir() / "index" / f"{dataset.resolve().name}-{place}"

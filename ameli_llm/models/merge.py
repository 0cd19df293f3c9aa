"""A LoRA adapter merged into its base: an ordinary model folder that every engine loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
VERSION = 1
"""To be raised with every change of what is written: folders of another version are not used."""


def write_merged(base: Path, name: str, adapter: Path, out: Path, step: Callable[[int, int], None]) -> None:
    """Fills the empty folder ``out``."""
    raise NotImplementedError

"""Set-ups that take seconds, made once for all pytest processes of a session."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that ``make`` has filled; whoever comes first fills it, the others wait.

    It is for reading: what a test changes must be a copy. A ``make`` that raises leaves nothing, and the next
    who asks tries again.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # its folder lies in the one of the session
        root = root.parent
    folder, filled = root / "shared" / name, root / "shared" / f"{name}.filled"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not filled.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            filled.touch()
    return folder


def twin_of(
    factory: pytest.TempPathFactory, *, products: int, reviews: int, seed: int, images: bool = True
) -> Path:
    """A synthetic twin of that size, for reading."""
    from ameli_llm.dataset.synth import write_twin

    def write(folder: Path) -> None:
        write_twin(folder / "twin", products=products, reviews=reviews, seed=seed, images=images)

    name = f"twin-{products}-{reviews}-{seed}{'' if images else '-texts'}"
    return made_once(factory, name, write) / "twin"

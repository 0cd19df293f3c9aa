"""Set-ups that take seconds, made once for all pytest processes of a session."""

from __future__ import annotations

import contextlib
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
    shared = _shared(factory)
    folder, filled = shared / name, shared / f"{name}.filled"
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not filled.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            filled.touch()
    return folder


def cache_of(factory: pytest.TempPathFactory, folder: Path) -> Path:
    """``folder`` as a cache whose encoders are those of all tests: to export one takes seconds."""
    encoders = _shared(factory) / "encoders"
    encoders.mkdir(exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "encoders").symlink_to(encoders)
    return folder


def _shared(factory: pytest.TempPathFactory) -> Path:
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # its folder lies in the one of the session
        root = root.parent
    (root / "shared").mkdir(exist_ok=True)
    return root / "shared"


def twin_of(
    factory: pytest.TempPathFactory, *, products: int, reviews: int, seed: int, images: bool = True
) -> Path:
    """A synthetic twin of that size, for reading."""
    from ameli_llm.dataset.synth import write_twin

    def write(folder: Path) -> None:
        write_twin(folder / "twin", products=products, reviews=reviews, seed=seed, images=images)

    name = f"twin-{products}-{reviews}-{seed}{'' if images else '-texts'}"
    return made_once(factory, name, write) / "twin"

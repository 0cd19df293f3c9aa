"""Layouts of dataset folders. One file of this package is one layout, found by its name."""

from __future__ import annotations

from pathlib import Path

from ameli_llm.dataset.readers.reader import Reader
from ameli_llm.registry import Registry

READERS = Registry("dataset reader", "ameli_llm.dataset.readers", helpers=("reader",))


def open_readers(root: Path) -> tuple[Reader, ...]:
    """A reader of every layout for the folder ``root``: what is called plainly goes first, then by name.

    Products are read by the first that finds any, and so are the reviews of each split.
    """
    names = sorted(READERS.names(), key=lambda name: (name != "plain", name))
    return tuple(READERS.load(name)(root) for name in names)

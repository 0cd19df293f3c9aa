"""What is degraded in a dataset, with a name for its kind and the place where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Problem:
    """Something degraded in a dataset. ``error`` means that results on it would be meaningless."""

    code: str
    where: str
    message: str
    severity: Literal["warning", "error"]


def duplicate(code: str, where: str, position: int) -> Problem:
    """An id that stood in an earlier record too."""
    return Problem(code, where, f"record {position} repeats the id; the first record is kept", "error")


def unclean(where: str, removed: int) -> list[Problem]:
    """What was cut out of a record's texts; none when that is nothing."""
    message = f"{removed} NUL or lone surrogate characters removed"
    return [Problem("unclean_text", where, message, "warning")] if removed else []


def bad_image_name(where: str, name: str) -> Problem:
    """An image name that could lead out of the dataset's folders."""
    message = f"image name {name[:80]!r} is not a bare file name; dropped"
    return Problem("bad_image_name", where, message, "warning")

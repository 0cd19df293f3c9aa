"""Errors a user can act on. Every one says what was asked, what was found and what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ameli_llm.install import install_line

LONGEST_NAME = 120
"""Characters of a wrong name that a message repeats."""


class AmeliError(Exception):
    """Wrong usage, configuration or input: the command line prints it as one line and exits with 2.

    ``hint`` is what the user can do about it; it is part of ``str(error)``.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class MissingDependencyError(AmeliError):
    """A package, model or weight file that is optional for the project and needed for this call."""


class MissingPackageError(MissingDependencyError):
    """``package`` is not installed; the hint is the line that installs the ``extra`` that has it.

    ``message`` says more than that it is not installed.
    """

    def __init__(self, package: str, extra: str, message: str = "") -> None:
        super().__init__(message or f"{package} is not installed.", hint=f"Type: {install_line(extra)}")


class UnknownNameError(AmeliError):
    """A registry has no entry of that name; lists those it has and the nearest one."""

    def __init__(self, kind: str, name: str, available: Iterable[str]) -> None:
        names = sorted(available)
        name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Available: {', '.join(names) or 'none'}."
        if near:
            hint += f" Did you mean {near[0]!r}?"
        super().__init__(f"No {kind} named {name!r}.", hint=hint)
        self.name = name
        self.available = names


def first_line(error: BaseException) -> str:
    """The first line of what an error of another library says, its kind where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__

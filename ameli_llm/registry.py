"""Finds implementations by file name: ``retrieval/retrievers/bm25.py`` is the retriever "bm25".

A new implementation is one new file, which says by the names of its parameters what it is made from. Nothing
is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import util as import_util
from types import ModuleType
from typing import Any

from ameli_llm.errors import UnknownNameError


@dataclass(frozen=True)
class Registry:
    """The modules of one package, each of which defines the function ``entry``.

    ``kind`` is the word used in error messages. Modules listed in ``helpers`` and modules whose name
    starts with an underscore are no entries.
    """

    kind: str
    package: str
    entry: str = "create"
    helpers: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Entry names in alphabetical order, found without importing any of them."""
        spec = import_util.find_spec(self.package)
        paths = list(spec.submodule_search_locations or []) if spec else []
        found = (module.name for module in pkgutil.iter_modules(paths))
        return sorted(n for n in found if not n.startswith("_") and n not in self.helpers)

    def module(self, name: str) -> ModuleType:
        """The module ``name``, imported now. Raises UnknownNameError."""
        if name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())
        return importlib.import_module(f"{self.package}.{name}")

    def load(self, name: str) -> Callable[..., Any]:
        """The entry function of the module ``name``. Raises UnknownNameError."""
        function: Callable[..., Any] = getattr(self.module(name), self.entry)
        return function

    def needs(self, name: str) -> frozenset[str]:
        """Names of what the entry function takes. Raises UnknownNameError."""
        return frozenset(inspect.signature(self.load(name)).parameters)

    def make(self, name: str, offered: Mapping[str, Callable[[], Any]]) -> Any:
        """What the entry function makes of those ``offered`` parts that it takes; the others are not made.

        Raises UnknownNameError.
        """
        return self.load(name)(
            **{part: offered[part]() for part in sorted(self.needs(name) & offered.keys())}
        )

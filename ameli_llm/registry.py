"""Finds implementations by file name: ``retrieval/retrievers/bm25.py`` is the retriever "bm25".

A new implementation is one new file. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import util as import_util
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

    def load(self, name: str) -> Callable[..., Any]:
        """The entry function of the module ``name``. Raises UnknownNameError."""
        if name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())
        module = importlib.import_module(f"{self.package}.{name}")
        function: Callable[..., Any] = getattr(module, self.entry)
        return function

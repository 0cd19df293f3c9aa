"""`import ameli_llm` is light, and what is not installed is named with the line to type."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ameli_llm
from ameli_llm import linker, types
from tests.shared_setup import cache_of

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "sentence_transformers", "chromadb", "bm25s", "sklearn", "skimage")


def python(code: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "AMELI_LLM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_the_package_has_what_it_promises() -> None:
    assert ameli_llm.Linker is linker.Linker
    assert (ameli_llm.Link, ameli_llm.Product, ameli_llm.Review) == (types.Link, types.Product, types.Review)
    assert set(ameli_llm.__all__) <= set(dir(ameli_llm))
    assert set(ameli_llm.__all__) == set(ameli_llm._HOMES) | {"__version__"}
    with pytest.raises(AttributeError, match="'Lnker'"):
        getattr(ameli_llm, "Lnker")  # noqa: B009


def test_importing_it_imports_nothing_else(tmp_path: Path) -> None:
    code = (
        "import sys, ameli_llm\n"
        "own = [n for n in sys.modules if n.startswith('ameli_llm.')]\n"
        "print(own, [n for n in ('numpy', 'pydantic', 'yaml') if n in sys.modules])\n"
        "from ameli_llm import Linker\n"
        f"print([n for n in {HEAVY} if n in sys.modules])\n"
    )
    done = python(code, tmp_path)
    assert done.stdout.splitlines() == ["[] []", "[]"], done.stdout + done.stderr


@pytest.mark.parametrize("missing", [HEAVY, ("chromadb",)], ids=["no extra", "no chromadb"])
def test_opening_without_an_extra_says_what_to_type(
    missing: tuple[str, ...], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({missing}))\n"
        "from ameli_llm import Linker\n"
        "try: Linker.open([{'id': 1, 'name': 'Lamp'}])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = python(code, cache_of(tmp_path_factory, tmp_path / "cache"))
    assert done.stdout.startswith("MissingPackageError "), done.stdout + done.stderr
    assert "uv pip install" in done.stdout
    assert "retrieval" in done.stdout

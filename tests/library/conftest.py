"""A small twin and a linker over it that needs neither torch nor OCR to link."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.dataset.synth import write_twin
from ameli_llm.linker import Linker
from tests.shared_setup import cache_of

CHEAP = ("retrieval.weights={title: 5.0, tfidf: 8.0}", "attributes.extractors=[rules]")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache))


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 products and 40 reviews, without images."""
    root = tmp_path_factory.mktemp("data") / "twin"
    write_twin(root, products=24, reviews=40, seed=1, images=False)
    return root


@pytest.fixture(scope="session")
def reviews(twin: Path) -> list[dict[str, Any]]:
    """The reviews of its train split, as a program has them: texts alone."""
    records = json.loads((twin / "train" / "reviews.json").read_text(encoding="utf-8"))
    return [{name: record[name] for name in ("header", "body", "mention")} for record in records]


@pytest.fixture
def open_linker(twin: Path) -> Iterator[Callable[..., Linker]]:
    """open_linker(knowledge base, ...): a cheap linker, over the twin if nothing else is named."""
    opened: list[Linker] = []

    def make(knowledge_base: Any = twin, settings: tuple[str, ...] = (), **options: Any) -> Linker:
        opened.append(Linker.open(knowledge_base, settings=[*CHEAP, *settings], **options))
        return opened[-1]

    yield make
    for linker in opened:
        linker.close()

"""An index of which any file is damaged: links are as before, or the command names it and what to type."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.config import load_config
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError
from retrieval.index import Index, open_index
from tests.abuse.conftest import Shop
from tests.abuse.damage import damaged
from tests.command import Done
from tests.forked import Forks

REBUILD = "Type: ameli-llm index DATASET"
Link = Callable[..., Done]


def files(index: Path, *inside: str) -> list[Path]:
    """The files of an index that have content, those in the folder ``inside`` of its generation."""
    (place,) = index.glob("gen-*")
    found = place.joinpath(*inside).rglob("*") if inside else index.rglob("*")
    return sorted(path for path in found if path.is_file() and path.stat().st_size)


def damages(index: Path, times: int, seed: int, *inside: str) -> Iterator[str]:
    """Damages one file of the index after the other; each is whole again when the next one is damaged."""
    draw, found = random.Random(seed), files(index, *inside)
    aside = Path(shutil.copytree(index, index.with_name("aside")))
    for number in range(times):
        path = found[number % len(found)]
        what, content = damaged(path.read_bytes(), draw)
        path.write_bytes(content)
        yield f"{path.relative_to(index)}: {what}"
        shutil.rmtree(index)
        shutil.copytree(aside, index)


def content(index: Index) -> list[Any]:
    return [
        index.manifest,
        index.entries,
        index.text_vectors.tobytes(),
        index.image_vectors().tobytes(),
        index.image_owner.tobytes(),
    ]


def test_it_is_never_opened_as_another(shop: Shop) -> None:
    config, digest = load_config(shop.config).retrieval, load_dataset(shop.dataset).digest
    with open_index(shop.index, config, digest) as index:
        expected = content(index)
    refused = 0
    for what in damages(shop.index, 120, 8):
        try:
            with open_index(shop.index, config, digest) as index:
                assert content(index) == expected, what
        except AmeliError as error:
            refused += 1
            text = str(error)
        else:
            continue
        assert str(shop.index) in text, what
        assert REBUILD in text, what
    assert 20 < refused < 120


@pytest.fixture
def link(forks: Forks, shop: Shop, cache: Path, tmp_path: Path) -> Link:
    """link(name, *words): four reviews, into a run folder of that name."""

    def start(name: str, *words: object) -> Done:
        given = ["link", "--split", "test", "--limit", 4, "--index", shop.index, "--out", tmp_path / name]
        return forks.run(*shop.words(*given, *words), cache=cache).done

    return start


def rows(run: Path) -> list[dict[str, Any]]:
    spent = {"seconds", "stage_seconds"}
    lines = (run / "predictions.jsonl").read_text("utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in spent} for line in lines]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("search", "inside"), [("exact", ()), ("exact", ("derived",)), ("chroma", ("chroma",))]
)
def test_links_are_the_same(
    shop: Shop, link: Link, tmp_path: Path, search: str, inside: tuple[str, ...]
) -> None:
    words = ["--set", f"retrieval.search={search}"]
    assert link("whole", *words).code == 0
    expected = rows(tmp_path / "whole")
    for number, what in enumerate(damages(shop.index, 30 if search == "exact" else 60, 9, *inside)):
        done = link(f"run{number}", *words)
        if done.code == 0:
            assert rows(tmp_path / f"run{number}") == expected, what
            continue
        assert str(shop.index) in done.error, what
        assert REBUILD in done.error, what


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_index_mends_it(shop: Shop, forks: Forks, cache: Path, link: Link, tmp_path: Path) -> None:
    assert link("whole").code == 0
    expected = rows(tmp_path / "whole")
    for number, what in enumerate(damages(shop.index, 30, 10)):
        done = forks.run(*shop.words("index", "--out", shop.index), cache=cache).done
        assert (done.code, "Traceback" in done.err) == (0, False), what
        if number % 3 == 0:
            assert link(f"run{number}").code == 0, what
            assert rows(tmp_path / f"run{number}") == expected, what

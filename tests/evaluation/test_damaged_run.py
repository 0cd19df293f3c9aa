"""A damaged file of a run folder ends every command in one line that names it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ameli_llm.cli import compare, evaluate
from ameli_llm.config import RunConfig
from ameli_llm.errors import AmeliError
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder

Predict = Callable[..., PredictionRow]
Golds = Callable[..., dict[int, GoldRow]]

DEEP = 200_000 * "["
FILES = ("run.json", "gold.json", "reviews.json", "products.json", "leaks.json", "predictions.jsonl")
WHOLE = {
    "deep": DEEP,
    "deep object": 100_000 * '{"a":' + "1" + 100_000 * "}",
    "no JSON": "<html>",
    "array": "[1]",
    "NUL": "\0",
    "huge number": '{"1": ' + 5000 * "9" + "}",
    "infinity": '{"1": 1e999}',
}
HOSTILE: tuple[Any, ...] = (None, True, -1, 10**30, 1e308, "x\x1b[31m", "\ud800", [], [[]], {}, {"a": {}})


@pytest.fixture
def run(predict: Predict, golds: Golds, write_run: Callable[..., RunFolder]) -> RunFolder:
    place = {"field": "body", "start": 0, "end": 3, "text": "red"}
    row = predict(
        1,
        1,
        {1: 0.9, 2: 0.8},
        parts={1: (0.5, 0.5), 2: (0.1, 0.2)},
        attributes=[{"key": "Color", "value": "Red", "source": "rules", "evidence": place}],
        evidence=[{"entity_id": 1, "key": "Color", "verdict": "agree"}],
        compared=2,
    )
    gold = golds({1: 1, 2: 2}, category="Toys", slices=("hard",), attributes={"Color": ("Red",)})
    folder = write_run(
        [row, predict(2, None, state="engine_error", error="gone")],
        gold,
        spec={
            "config": RunConfig().model_dump(mode="json"),
            "protocol": "official",
            "official": ["gold_keys"],
            "baseline": {"described": {"leaks": ["image_chosen_with_gold"]}},
        },
        reviews={1: {"header": "Red", "body": "red", "mention": "x", "images": []}},
        products={1: "One", 2: "Two"},
        manifest={"reviews": 2, "sessions": [{"start": "2025-01-01T00:00:00+00:00", "seconds": 2.0}]},
    )
    leaks = {"splits": ["train"], "reviews": {"1": {"quotes_title": True}}}
    (folder.path / "leaks.json").write_text(json.dumps(leaks))
    return folder


def _refusal(command: str, *words: Path) -> str | None:
    """What the command refuses with; None when it works. Anything but an AmeliError is raised."""
    app = typer.Typer()
    evaluate.register(app)
    compare.register(app)
    result = CliRunner().invoke(app, [command, *map(str, words)])
    if result.exception is None or isinstance(result.exception, SystemExit):
        assert result.exit_code in (0, 3)
        return None
    if not isinstance(result.exception, AmeliError):
        raise result.exception
    return str(result.exception)


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_none(run: RunFolder, file: str, content: str) -> None:
    path = run.path / file
    path.write_text(content + "\n" if file == "predictions.jsonl" else content)
    for command, *words in (("evaluate", run.path), ("compare", run.path, run.path), ("report", run.path)):
        reads = file not in ("reviews.json", "products.json") or command == "report"
        reads = reads and (file != "leaks.json" or command != "compare")
        refusal = _refusal(command, *words)
        assert (refusal is not None) == reads, refusal
        if refusal is not None:
            assert refusal.startswith(str(path))
            assert "\n" not in refusal
            assert len(refusal) < len(str(path)) + 200


def _leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield from _leaves(child, (*path, key))


def _changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(tree)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize("file", FILES)
def test_every_value_may_be_another(run: RunFolder, file: str) -> None:
    """Each value of the file in turn becomes something else: it is read, or refused by name."""
    path = run.path / file
    first, *others = path.read_text().splitlines(keepends=True) if file.endswith("l") else [path.read_text()]
    content = json.loads(first)
    places = [place for place in _leaves(content) if place[:2] != ("spec", "config")]
    refused = 0
    for number, place in enumerate(places):
        # Not every value at every place: each place meets two of them, and report and compare take turns.
        for value in (HOSTILE[number % len(HOSTILE)], HOSTILE[(number + 6) % len(HOSTILE)]):
            path.write_text(json.dumps(_changed(content, place, value)) + "".join(["\n", *others]))
            refusal = _refusal(("report", "compare")[number % 2], *[run.path] * (1 + number % 2))
            refused += refusal is not None
            assert refusal is None or "\n" not in refusal
    assert refused or file in ("reviews.json", "products.json")

"""``ameli-llm matrix`` with a model whose replies are known by construction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from tests.command import Done, command
from tests.matrix.planned import REVIEWS, planned, write_template

FIXED, BROKEN, FAILED, KEPT = {3, 4, 5, 6, 7, 8, 9}, {0, 1}, {12, 13, 14}, {15, 16, 17, 18, 19}
RIGHT = {"a": BROKEN | FAILED | KEPT, "b": FIXED | KEPT}


def planted(variant: str, review: int) -> str:
    """Template b mends seven reviews, breaks two and gets no usable reply on three."""
    if variant == "b" and review in FAILED:
        return "maybe"
    return "right" if review in RIGHT[variant] else "wrong"


def matrix(file: Path, out: Path, *words: object) -> Done:
    return command("matrix", file, "--out", out, "--index", file.parent / "index", *words)


def document(out: Path) -> dict[str, Any]:
    """matrix.json without what depends on the hour."""
    content: dict[str, Any] = json.loads((out / "matrix.json").read_text("utf-8"))
    assert list(content)[-1] == "spent"
    del content["spent"]
    return content


def test_planted_changes_are_found(write: Callable[..., Path], world: Path) -> None:
    out = world / "out"
    with planned(planted) as model:
        file = write(model, settings={"strict": ["engine.max_error_rate=0.1"]})
        done = matrix(file, out)
        assert done.code == 1
        assert done.err.endswith("tiny+b+strict: 12.5% of the reviews failed\n")
        assert len(model.questions) == 2 * REVIEWS
        first, second = document(out)["cells"]
        assert (first["name"], second["name"]) == ("tiny+a+strict", "tiny+b+strict")
        assert {"fixed", "p", "q", "difference"}.isdisjoint(first)
        assert first["end_to_end_f1"]["value"] == pytest.approx(10 / 24, abs=1e-6)
        assert (first["failed"], second["failed"]) == (0, 3)
        assert (set(second["fixed"]), set(second["broken"])) == (FIXED, BROKEN)
        assert second["answered_by_both"] == REVIEWS - len(FAILED)
        assert second["p"] == second["q"] == pytest.approx(binomtest(7, 9).pvalue, abs=1e-6)
        assert second["difference"]["value"] == pytest.approx(5 / 21, abs=1e-6)
        assert [one["calls"] for one in (first, second)] == [REVIEWS, REVIEWS]

        runs = [out / "runs" / one["name"] for one in (first, second)]
        compared = command("compare", *runs, "--json").json
        assert (set(compared["fixed"]), set(compared["broken"])) == (FIXED, BROKEN)
        assert compared["p"] == pytest.approx(second["p"], abs=1e-6)
        row = next(line for line in done.out.splitlines() if line.startswith("tiny+b"))
        assert row.split()[1] == "21"
        assert " 7       2  0.18  0.18       3     24 " in row

        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        again = matrix(file, out)
        assert len(model.questions) == 2 * REVIEWS, "a finished matrix asks nothing"
        assert "to send: 0 calls" in again.err
        assert again.out == done.out
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_three_by_two_cells_make_the_calls_that_differ(write: Callable[..., Path], world: Path) -> None:
    """Templates a and c send the same, and the second order of the candidates is one more call."""
    templates = {name: {"comparison": str(world / f"{name}.j2")} for name in "abc"}
    settings = {"once": [], "twice": ["comparison.orders=2"]}
    with planned(lambda variant, review: "right") as model:
        file = write(model, templates=templates, settings=settings, sample=6, baseline="tiny+c+twice")
        dry = matrix(file, world / "out", "--dry-run", "--json")
        assert model.questions == [], "--dry-run sends nothing"
        done = matrix(file, world / "out")
        assert done.code == 0, done
        sent = [json.dumps(body, sort_keys=True) for body in model.questions]
    assert len(sent) == len(set(sent)) == 4 * 6
    ahead = dry.json["cells"]
    assert [one["calls"] for one in ahead.values()] == [6, 6, 6, 6, 0, 0]
    assert dry.json["total"]["calls"] == 4 * 6
    assert dry.json["estimated"] is False
    assert dry.json["seconds"] is None, "no call was timed yet"
    content = json.loads((world / "out" / "matrix.json").read_text("utf-8"))
    spent = content["spent"]["sent"]
    assert (spent["calls"], spent["prompt"]) == (4 * 6, dry.json["total"]["prompt"])
    assert spent["completion"] == dry.json["total"]["completion"] == 4 * 6
    cells = {one["name"]: one for one in content["cells"]}
    assert [one["calls"] for one in cells.values()] == [6, 12, 6, 12, 6, 12], "what each rests on"
    assert "fixed" not in cells["tiny+c+twice"]
    same = cells["tiny+a+twice"]
    assert (same["fixed"], same["broken"], same["p"]) == ([], [], 1.0)


def test_extraction_is_asked_for_once(write: Callable[..., Path], world: Path) -> None:
    with planned(planted) as model:
        settings = {"llm": ["attributes.extractors=[llm]", "attributes.sense=0"]}
        file = write(model, settings=settings, sample=4)
        ahead = matrix(file, world / "out", "--dry-run", "--json").json["cells"]
        assert [(one["calls"], one["after"]) for one in ahead.values()] == [(8, 4), (4, 4)]
        done = matrix(file, world / "out", "--json")
        assert (model.extractions, len(model.questions)) == (4, 8)
    sent = done.json["spent"]["sent"]
    assert (sent["calls"], sent["prompt"]) == (12, sum(one["prompt"] for one in ahead.values()))
    assert "(8 of the calls follow a reply that is not there yet)" in done.err


def test_models_are_told_apart(write: Callable[..., Path], world: Path) -> None:
    with planned(lambda variant, review: "right", ("small", "large")) as model:
        models = {name: {"model": name, "base_url": model.base_url} for name in ("small", "large")}
        models["none"] = {"engine": "none"}
        config = (world / "config.yaml").read_text("utf-8").replace("- listwise", "- rules\n  - listwise")
        (world / "config.yaml").write_text(config, encoding="utf-8")
        settings = {"model": [], "rules": ["comparison.comparators=[rules]"]}
        file = write(models=models, templates={}, settings=settings)
        assert (
            "Cell 'none+model': The comparator 'listwise' asks a model" in matrix(file, world / "out").error
        )
        (world / "config.yaml").write_text(
            config.replace("  comparators:\n  - rules\n  - listwise\n", "  {}\n")
        )
        template = {"only": {"comparison": str(world / "a.j2")}}
        done = matrix(write(models=models, templates=template, sample=3), world / "out", "--json")
        assert done.code == 0, done
        assert sorted(body["model"] for body in model.questions) == ["large"] * 3 + ["small"] * 3
    cells = {one["name"]: one for one in done.json["cells"]}
    assert [one["calls"] for one in cells.values()] == [3, 3, 0]
    assert cells["none+only"]["tokens"] == {"prompt": 0, "completion": 0}


def test_a_budget_stops_before_the_call_that_exceeds_it(write: Callable[..., Path], world: Path) -> None:
    out = world / "out"
    with planned(planted) as model:
        file = write(model, settings={"one": ["engine.concurrency=1"]}, sample=6)
        ahead = matrix(file, out, "--dry-run", "--json").json["cells"]
        (each,) = {one["prompt"] // one["calls"] + 1 for one in ahead.values()}
        most = 8 * each - 1
        stopped = matrix(file, out, "--max-tokens-total", most)
        assert (stopped.code, stopped.out) == (1, "")
        assert f"{7 * each} of {most} are spent" in stopped.err
        assert "The same command with a higher --max-tokens-total goes on." in stopped.err
        assert len(model.questions) == 7
        assert not (out / "matrix.json").exists()
        again = matrix(file, out, "--max-tokens-total", most)
        assert (again.code, len(model.questions)) == (1, 7), "what was spent before counts"
        assert "to send: 5 calls" in again.err
        done = matrix(file, out, "--max-tokens-total", 12 * each)
        assert (done.code, len(model.questions)) == (0, 12), "nothing is sent twice"
    assert [one["calls"] for one in document(out)["cells"]] == [6, 6]


def test_a_server_that_does_not_count_tokens_is_estimated(write: Callable[..., Path], world: Path) -> None:
    with planned(planted) as model:
        model.counts = False
        done = matrix(write(model, sample=3), world / "out", "--markdown")
    assert "to send: 6 calls, about " in done.err
    assert "after the first calls: " in done.err
    assert done.out.startswith("# lamps, dev\n\n3 reviews, seed 0.")
    assert "| cell | n | end-to-end F1, % | minus tiny+a | fixed |" in done.out


def test_an_edited_template_is_another_run(write: Callable[..., Path], world: Path) -> None:
    with planned(planted) as model:
        file = write(model, sample=3)
        assert matrix(file, world / "out").code == 0
        write_template(world / "b.j2", "a")
        model.questions.clear()
        error = matrix(file, world / "out").error
        assert "runs/tiny+b holds another run: templates." in error
        assert model.questions == []


def test_no_server(write: Callable[..., Path], world: Path) -> None:
    with planned(planted) as model:
        file = write(model)
    assert "connection refused" in matrix(file, world / "out").error
    assert not (world / "out" / "runs").exists()

"""What the contract says of a run folder, read from its files as any other program would."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

STATES = ("linked", "nil", "abstained", "invalid_output", "engine_error")
LINE = {
    "review_id",
    "state",
    "entity_id",
    "confidence",
    "candidates",
    "attributes",
    "tokens",
    "seconds",
    "error",
}
CANDIDATE = {"entity_id", "retrieval_score", "text_score", "image_score", "score"}


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text("utf-8").splitlines()]


def metrics_but_seconds(run: Path) -> str:
    text = (run / "metrics.json").read_text("utf-8")
    start = text.index('\n  "seconds": {')
    assert text[start:].count("{") == 1, "seconds come last"
    return text[:start]


def conforms(run: Path, reviews: int) -> None:
    """Fails where a run folder with gold is not what the contract says."""
    rows = lines(run)
    assert len({row["review_id"] for row in rows}) == len(rows) == reviews
    for row in rows:
        assert row.keys() >= {*LINE, "error"}
        assert row["state"] in STATES
        assert all(candidate.keys() >= CANDIDATE for candidate in row["candidates"])
        scores = [candidate["score"] for candidate in row["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert all(map(math.isfinite, scores))
        linked = row["state"] == "linked"
        assert row["entity_id"] == (row["candidates"][0]["entity_id"] if linked else None)
        assert row["confidence"] is None or 0 <= row["confidence"] <= 1
        assert set(row["tokens"]) == {"prompt", "completion", "cached"}
        for attribute in row["attributes"]:
            assert attribute.keys() >= {"key", "value", "source", "evidence"}
            assert attribute["evidence"].keys() >= {"field", "start", "end", "text"}
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    assert metrics["n"] == reviews == sum(metrics["states"].values())
    assert metrics["states"] == {state: Counter(r["state"] for r in rows)[state] for state in STATES}
    assert list(metrics["recall"]) == ["1", "10", "20", "50", "100"]
    for score in (*metrics["recall"].values(), metrics["disambiguation_f1"], metrics["end_to_end_f1"]):
        assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
    manifest = json.loads((run / "run.json").read_text("utf-8"))
    assert manifest.keys() >= {"spec", "seed", "versions", "git", "start", "end"}
    assert manifest["spec"].keys() >= {"config", "templates", "engine", "dataset"}
    assert manifest["start"] <= manifest["end"]
    for name, columns in (("run.trec", 6), ("qrels.trec", 4)):
        table = [line.split() for line in (run / name).read_text("utf-8").splitlines()]
        assert {len(line) for line in table} == {columns}
        assert {int(line[0]) for line in table} <= {row["review_id"] for row in rows}
    page = (run / "report.html").read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert 'src="http' not in page

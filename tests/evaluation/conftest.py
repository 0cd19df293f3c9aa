"""Tiny runs whose scores are visible by eye."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.ids import EntityId, ReviewId, id_key, id_order
from ameli_llm.runs import GoldRow, PredictionRow, RunFolder

FINISHED = {"start": "2025-01-01T00:00:00+00:00", "end": "2025-01-01T00:00:10+00:00"}
"""What ``run.json`` says of a run of ten seconds."""


def _candidates(scores: Mapping[Any, float], parts: Mapping[Any, tuple[float | None, float | None]]) -> Any:
    rows = [
        {
            "entity_id": entity,
            "retrieval_score": score,
            "text_score": parts.get(entity, (None, None))[0],
            "image_score": parts.get(entity, (None, None))[1],
            "score": score + sum(part or 0 for part in parts.get(entity, ())),
        }
        for entity, score in scores.items()
    ]
    return sorted(rows, key=lambda r: (-r["score"], id_order(r["entity_id"])))


@pytest.fixture(scope="session")
def predict() -> Callable[..., PredictionRow]:
    """predict(review, answer, {entity: retrieval score}, parts={entity: (text, image)}, **other fields)."""

    def make(
        review: ReviewId,
        answer: EntityId | None,
        scores: Mapping[Any, float] | None = None,
        *,
        parts: Mapping[Any, tuple[float | None, float | None]] | None = None,
        **fields: Any,
    ) -> PredictionRow:
        state = "linked" if answer is not None else "abstained"
        content = {
            "review_id": review,
            "state": state,
            "entity_id": answer,
            "confidence": 0.5,
            "candidates": _candidates(scores or {}, parts or {}),
            **fields,
        }
        return PredictionRow.model_validate_json(json.dumps(content))

    return make


@pytest.fixture(scope="session")
def golds() -> Callable[..., dict[Any, GoldRow]]:
    """golds({review: product or None}, **fields of every row)."""

    def make(products: Mapping[Any, EntityId | None], **fields: Any) -> dict[Any, GoldRow]:
        return {review: GoldRow(gold=product, **fields) for review, product in products.items()}

    return make


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """write_run(rows, gold, name="run", ...): a run folder on disk."""

    def make(
        rows: Sequence[PredictionRow],
        gold: Mapping[Any, GoldRow],
        name: str = "run",
        spec: Mapping[str, Any] | None = None,
        reviews: Mapping[Any, Any] | None = None,
        products: Mapping[Any, str] | None = None,
        manifest: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        folder = tmp_path / name
        folder.mkdir()
        files = {
            "run.json": {"spec": spec or {"config": {}}, **FINISHED, **(manifest or {})},
            "gold.json": {id_key(k): v.model_dump(mode="json") for k, v in gold.items()},
            "reviews.json": {id_key(k): v for k, v in (reviews or {}).items()},
            "products.json": {id_key(k): v for k, v in (products or {}).items()},
        }
        for file, content in files.items():
            (folder / file).write_text(json.dumps(content), encoding="utf-8")
        (folder / "predictions.jsonl").write_text(
            "".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8"
        )
        return RunFolder(folder)

    return make

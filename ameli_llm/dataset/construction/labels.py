"""Human labels of reviews: informative enough to find the product, or not."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

from ameli_llm.errors import AmeliError


def read_labels(path: Path) -> dict[str, bool]:
    """Labels by review id: CSV with the columns review_id and informative (0 or 1). Raises AmeliError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(itertools.islice(csv.DictReader(file), 1_000_001))
    except OSError as error:
        raise AmeliError(f"Cannot read the labels {path}: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise AmeliError(f"{path} is no CSV file in UTF-8: {error}.") from None
    hint = "Write a head line review_id,informative and lines like 77,1 below it."
    labels: dict[str, bool] = {}
    for number, row in enumerate(rows, start=2):
        id_, label = (row.get("review_id") or "").strip(), (row.get("informative") or "").strip()
        if not id_ or label not in ("0", "1"):
            raise AmeliError(f"{path}:{number} has no review_id, or no informative of 0 or 1.", hint=hint)
        if labels.setdefault(id_, label == "1") != (label == "1"):
            raise AmeliError(f"{path}:{number} says of review {id_[:80]!r} what an earlier line denies.")
    if not labels:
        raise AmeliError(f"{path} holds no labels.", hint=hint)
    return labels

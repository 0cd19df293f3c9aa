"""Somebody's own tables, with product codes for ids, through import, check, division and linking."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

COLOURS = ("red", "blue", "green", "black", "white", "yellow")
KINDS = ("Kettle", "Blender", "Toaster", "Lamp")


def write_shop(root: Path) -> tuple[Path, Path]:
    """24 products with codes for ids, in CSV, and 48 reviews of them in JSON lines, each with a photo."""
    (root / "photos").mkdir(parents=True)
    products = ["SKU,Title,Category,Color,Capacity,Photo"]
    reviews = []
    for number, (kind, colour) in enumerate((k, c) for k in KINDS for c in COLOURS):
        code = f"{number:03d}-{kind[0]}X"
        name = f"Acme {kind} {number + 300}"
        photo = f"photos/{code}.png"
        Image.new("RGB", (32, 32), colour).save(root / photo)
        products.append(f"{code},{name},Kitchen > {kind}s,{colour},{number + 1} cups,{photo}")
        texts = (f"My {colour} {kind.lower()} {number + 300} is fine.", f"The {colour} {kind.lower()}!")
        reviews += ({"sku": code, "title": name, "review": text, "images": [photo]} for text in texts)
    (root / "products.csv").write_text("\n".join(products) + "\n", "utf-8")
    (root / "reviews.jsonl").write_text("\n".join(map(json.dumps, reviews)) + "\n", "utf-8")
    return root / "products.csv", root / "reviews.jsonl"


def test_from_tables_to_links(here: Callable[..., Any], cheap: tuple[str, ...], tmp_path: Path) -> None:
    tables = write_shop(tmp_path / "shop")
    shop, divided, run = tmp_path / "imported", tmp_path / "divided", tmp_path / "run"
    done = here("data", "import", *tables, "--out", shop)
    assert done.code == 0, done
    assert "left out" not in done.out
    assert here("data", "split", shop, "--out", divided, "--ratios", "50/25/25").code == 0
    assert here("data", "check", divided).code == 0
    done = here("link", divided, "--split", "test", "--out", run, *cheap, "--json")
    assert done.code == 0, done
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 12
    gold = {r["review_id"]: r["gold_entity_info"]["id"] for r in json.loads(
        (divided / "test" / "reviews.json").read_text("utf-8")
    )}  # fmt: skip
    right = sum(row["entity_id"] == gold[row["review_id"]] for row in rows)
    assert right >= 10
    assert done.json["metrics"]["n"] == 12

"""The report of 3,000 reviews in a browser: seconds to open, milliseconds to filter, megabytes.

    python benchmarks/report.py [RUN ...] [--reviews 3000] [--runs 2] [--dataset DIR] [--keep DIR]

Without a RUN it makes synthetic ones: reviews of 600 characters, 20 candidates, prompts and replies of a
model, and a photo of each review and of each product. Needs chromium. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from PIL import Image

from ameli_llm.engines.engine import ChatReply, ChatRequest, Exchange, Message
from ameli_llm.ids import id_key
from ameli_llm.runs import GoldRow, RunFolder
from ameli_llm.transcripts import Transcripts
from ameli_llm.types import Link, State, Usage
from eval.report.page import write_report
from tests.browser import Page, browser

PRODUCTS = 1000
COMPARED = 10
CANDIDATES = 20
KEYS = ("Color", "Size", "Material", "Finish", "Capacity", "Power", "Style", "Height")
SOUNDS = ("ka", "lo", "mi", "ren", "sta", "vu", "tor", "bel", "qui", "zan", "dre", "pho", "sil", "wex")
TEMPLATE = "f" * 64

FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
FILTERS = {
    "outcome": "choose('f-show', 'change', 'wrong')",
    "cause": "choose('f-cause', 'change', 'comparison_wrong')",
    "category": "choose('f-part', 'change', 'category:Category 3')",
    "search": "choose('f-q', 'input', 'kalomi')",
    "one letter": "choose('f-q', 'input', 'a')",
    "nothing left": "choose('f-q', 'input', 'no such words')",
    "all again": "document.getElementById('clear').click()",
}
CHOOSE = """
function choose(id, event, value) {
  const field = document.getElementById(id);
  field.value = value;
  field.dispatchEvent(new Event(event));
}
"""


def main() -> None:
    """Makes or takes the runs, writes their report, and measures it in Chromium."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", metavar="RUN", type=Path, nargs="*")
    parser.add_argument("--reviews", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the synthetic runs and the report")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        place = options.keep or Path(work)
        place.mkdir(parents=True, exist_ok=True)
        folders, dataset = options.folders, options.dataset
        if not folders:
            dataset = make_dataset(place / "dataset", options.reviews)
            folders = [make_run(place / f"run-{n}", n, options.reviews) for n in range(options.runs)]
        began = time.monotonic()
        first, *others = map(RunFolder, folders)
        written = write_report(first, place / "report.html", others, dataset)
        took = time.monotonic() - began
        size = written.path.stat().st_size / 1e6
        print(f"{len(folders)} runs, written in {took:.1f} s, {size:.1f} MB. {written.photos}\n")
        print("| what | ms, median of 5 | most |\n|---|---|---|")
        with browser(Path(work) / "profile") as opened:
            for what, times in measure(opened.page(), written.path.resolve().as_uri()):
                print(f"| {what} | {sorted(times)[len(times) // 2]:.0f} | {max(times):.0f} |")


def measure(page: Page, address: str) -> Iterator[tuple[str, list[float]]]:
    """Milliseconds from navigation until the list is painted, then of each filter until it is painted."""
    page.looks(1400, 900)
    opened, loaded = [], []
    for _ in range(5):
        page.open("about:blank")
        began = time.monotonic()
        page.open(address)
        page.run(FRAMES)
        opened.append(1000 * (time.monotonic() - began))
        loaded.append(page.run("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    yield "open, until painted", opened
    yield "open, until the load event", loaded
    page.run(CHOOSE)
    filters = {name: [] for name in FILTERS}
    for _ in range(5):
        for name, code in FILTERS.items():
            filters[name].append(timed(page, f"{code}; await {FRAMES}"))
    yield from ((f"filter: {name}", times) for name, times in filters.items())
    card = "document.querySelectorAll('button.row')[NUMBER].click(); "
    shown = "while (!document.querySelector('.inside')) await new Promise((done) => setTimeout(done)); "
    opening = [timed(page, card.replace("NUMBER", str(n)) + shown + f"await {FRAMES}") for n in range(5)]
    yield "open a card", opening


def timed(page: Page, code: str) -> float:
    """Milliseconds of a piece of code in the page."""
    parts = (
        f"(async () => {{ const began = performance.now(); {code}; return performance.now() - began; }})()"
    )
    return float(page.run(parts))


def make_dataset(folder: Path, reviews: int) -> Path:
    """Products with a photo each, and a photo of each review: noise, which compresses worse than photos."""
    for name in ("product_images", "review_images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    records = [
        {
            "id": number,
            "product_name": product_name(number),
            "product_category": f"Shop -> Category {number % 40}",
            "image_path": [f"p{number}.jpg"],
        }
        for number in range(PRODUCTS)
    ]
    (folder / "products.json").write_text(json.dumps(records))
    for number in range(PRODUCTS):
        picture(number).save(folder / "product_images" / f"p{number}.jpg", quality=85)
    for number in range(reviews):
        picture(-1 - number).save(folder / "review_images" / f"r{number}.jpg", quality=85)
    return folder


def picture(seed: int) -> Image.Image:
    """Coarse noise over finer noise."""
    draw = random.Random(seed)
    coarse, fine = (
        Image.frombytes("RGB", (side, side), draw.randbytes(3 * side * side)).resize((320, 320), 3)
        for side in (6, 40)
    )
    return Image.blend(coarse, fine, 0.3)


def product_name(number: int) -> str:
    """The name of a synthetic product."""
    draw = random.Random(number)
    return f"{words(draw, 5).title()} - {draw.choice(KEYS)} {number}"


def words(draw: random.Random, count: int) -> str:
    """Invented words."""
    return " ".join("".join(draw.choices(SOUNDS, k=draw.randint(1, 4))) for _ in range(count))


def make_run(folder: Path, run: int, reviews: int) -> Path:
    """A run folder; runs of different numbers differ in a part of their answers, in prompts and replies."""
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, Any] = {}
    golds: dict[str, Any] = {}
    with (folder / "predictions.jsonl").open("w") as out, Transcripts(folder) as transcripts:
        for number in range(reviews):
            draw = random.Random(number)
            header, body = words(draw, 4), words(draw, 75)
            gold = draw.randrange(PRODUCTS)
            row = prediction(number, gold, body, random.Random(f"{number} {run}"), draw)
            out.write(json.dumps(row) + "\n")
            texts[id_key(number)] = {
                "header": header,
                "body": body,
                "mention": words(draw, 2),
                "images": [f"r{number}.jpg"],
            }
            stated = {key: (words(draw, 1),) for key in KEYS}
            slices = ("short",) if number % 9 == 0 else ()
            row_of_gold = GoldRow(
                gold=gold, category=f"Category {gold % 40}", slices=slices, attributes=stated
            )
            golds[id_key(number)] = row_of_gold.model_dump(mode="json")
            transcripts.put([Link(number, State.LINKED, exchanges=tuple(exchanges(run, row, body)))])
    config = {"attributes": {"extractors": ["rules", "llm"], "template": "extract/json"}}
    spec = {"config": config, "templates": {"extract/json": f"{run}{TEMPLATE[1:]}"}}
    manifest = {"spec": spec, "start": "2025-01-01T00:00:00+00:00", "end": "2025-01-01T01:00:00+00:00"}
    source = f"---\npurpose: extract\n---\nList what it states.\nBe brief, way {run}.\n{{{{ body }}}}\n"
    files = {
        "run.json": manifest,
        "gold.json": golds,
        "reviews.json": texts,
        "products.json": {id_key(number): product_name(number) for number in range(PRODUCTS)},
        "templates.json": {"extract/json": {"source": source, "included": {}}},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def prediction(
    number: int, gold: int, body: str, own: random.Random, shared: random.Random
) -> dict[str, Any]:
    """A line of predictions: right in two of three reviews, failed in one of fifty."""
    products = [gold, *shared.sample([n for n in range(PRODUCTS) if n != gold], CANDIDATES - 1)]
    best = 0 if own.random() < 0.66 else own.randrange(1, COMPARED)
    scores = [own.random() + (n == best) for n in range(CANDIDATES)]
    candidates = [
        {
            "entity_id": product,
            "retrieval_score": 1 - n / CANDIDATES,
            "text_score": own.random(),
            "image_score": own.random(),
            "score": scores[n] if n < COMPARED else 0.0,
        }
        for n, product in enumerate(products)
    ]
    failed = own.random() < 0.02
    starts = [n for n in range(0, 500, 70) if own.random() < 0.6]
    return {
        "review_id": number,
        "state": "invalid_output" if failed else "linked",
        "entity_id": None if failed else products[best],
        "confidence": None if failed else round(own.random(), 4),
        "candidates": sorted(candidates, key=lambda one: -one["score"]),
        "attributes": [
            {
                "key": key,
                "value": body[start : start + 8],
                "source": own.choice(("rules", "llm")),
                "evidence": {
                    "field": "body",
                    "start": start,
                    "end": start + 8,
                    "text": body[start : start + 8],
                },
            }
            for key, start in zip(KEYS, starts, strict=False)
        ],
        "tokens": {"prompt": 900, "completion": 60, "cached": 0},
        "seconds": round(own.random(), 3),
        "error": "the reply is no JSON: Expecting value, line 1 column 7" if failed else None,
        "compared": COMPARED,
        "evidence": [
            {"entity_id": products[best], "key": key, "verdict": own.choice(("agree", "conflict", "unknown"))}
            for key in KEYS[:5]
        ],
    }


def exchanges(run: int, row: dict[str, Any], body: str) -> Iterator[Exchange]:
    """Two requests: one for the values of the review, one to compare ten candidates."""
    values = json.dumps([{key: one[key] for key in ("key", "value")} for one in row["attributes"]])
    names = "\n".join(
        f"{n}. {product_name(one['entity_id'])}" for n, one in enumerate(row["candidates"][:10])
    )
    rules = "\n".join(
        f"Rule {n} of variant {run}: quote the review, never guess, keep units." for n in range(20)
    )
    for what, reply in ((f"{rules}\n\n{body}", values), (f"{rules}\n\n{body}\n\n{names}", '{"best": 1}')):
        messages = (Message("system", "You read reviews."), Message("user", what))
        request = ChatRequest(messages, template=f"{run}{TEMPLATE[1:]}")
        yield Exchange("llm", request, ChatReply(reply, None, Usage(450, 30), "stop", seconds=0.4))


if __name__ == "__main__":
    main()

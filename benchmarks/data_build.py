"""How many raw reviews a second `ameli-llm data build` takes, and how much memory, at several sizes.

    python benchmarks/data_build.py                    1,000,000 rows, and a tenth, a third of them before
    python benchmarks/data_build.py --rows 100000

Synthetic rows without images: reading, rules about words, votes and links, mentions by the longest words,
near-duplicate texts, split, writing. No photo is opened and no encoder runs. Each size has a process of its
own; peak memory is that of the process, so it is flat when it does not grow with the rows. CPU seconds are
those to compare on a machine that does other work. Disk: about 3 KB a row while it runs.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ameli_llm.dataset.construction.build import Sources, build_dataset
from ameli_llm.dataset.construction.raw import raw_files
from ameli_llm.dataset.construction.settings import read_settings
from ameli_llm.dataset.construction.similarity import Tools
from ameli_llm.dataset.importing.plan import plan_import
from retrieval.chunker import RuleChunker

PRODUCTS = 5000
VARIANTS = 5
NOUNS = (
    "blender",
    "laptop",
    "headset",
    "camera",
    "kettle",
    "monitor",
    "speaker",
    "router",
    "vacuum",
    "heater",
)
COLOURS = ("Red", "Blue", "Black", "White", "Silver")
ENDINGS = ("l", "n", "r", "sk", "mt", "nd")
WORDS = tuple(f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ENDINGS)
SETTINGS = ("mentions.choose=longest", "models.image=none")
WITHOUT = ("no_images", "readable_images", "crop")


def main() -> None:
    """Prints a line a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one)))
        return
    names = ("rows", "kept", "seconds", "rows/s", "CPU s", "rows/CPU s", "peak MiB")
    print("".join(f"{name:>12}" for name in names))
    for rows in sorted({max(1, options.rows // 10), max(1, options.rows // 3), options.rows}):
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder) / "raw", rows)
            done = subprocess.run(
                [sys.executable, __file__, "--one", folder], capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout)
        seconds, cpu = found["seconds"], found["cpu"]
        figures = (rows, found["kept"], seconds, rows / seconds, cpu, rows / cpu, found["mib"])
        print("".join(f"{figure:>12,.0f}" for figure in figures), flush=True)


def measure(folder: Path) -> dict[str, float]:
    """Builds the dataset of a folder: seconds, those of the CPU, reviews kept, peak memory."""
    settings = read_settings(None, SETTINGS, WITHOUT)
    start = time.perf_counter()
    plan = plan_import(raw_files(folder / "raw"))
    written = build_dataset(Sources(folder / "raw", plan), folder / "set", settings, Tools(RuleChunker()))
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    kept = sum(written.reviews.values())
    cpu = used.ru_utime + used.ru_stime
    return {"seconds": seconds, "cpu": cpu, "kept": kept, "mib": used.ru_maxrss / 1024}


def write_rows(raw: Path, rows: int) -> None:
    """Products in families of variants, and reviews of 10 to 60 words; the same rows every time."""
    raw.mkdir()
    chance = random.Random(0)
    with (raw / "products.jsonl").open("w", encoding="utf-8") as file:
        for number in range(PRODUCTS):
            family, colour = number // VARIANTS, COLOURS[number % VARIANTS]
            noun = NOUNS[family % len(NOUNS)].title()
            name = f"Acme - Line {family} {noun} - {colour}"
            row = {"id": number, "product_name": name, "product_category": f"Shop -> {noun}s"}
            spec = [{"subsection": "General", "text": [{"specification": "Color", "value": colour}]}]
            file.write(json.dumps(row | {"Spec": spec, "image_path": []}) + "\n")
    with (raw / "reviews.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            product = chance.randrange(PRODUCTS)
            noun = NOUNS[product // VARIANTS % len(NOUNS)]
            words = chance.choices(WORDS, k=chance.randint(10, 60))
            if chance.random() < 0.7:
                words.insert(chance.randrange(len(words)), noun)
            filed = product if chance.random() < 0.9 else product // VARIANTS * VARIANTS
            row = {
                "reviewId": number,
                "title": chance.choice(("Great", "So so", "Never again")),
                "comment": " ".join(words),
                "sku": filed,
                "helpfulVotes": chance.choice((0, 0, 1, 2)),
                "unhelpfulVotes": chance.choice((0, 0, 0, 1)),
                "productDetails": {"sku": product},
            }
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()

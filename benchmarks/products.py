"""How the linker grows with the knowledge base: seconds to open, milliseconds a review, memory.

    python benchmarks/products.py [--sizes 10000 100000 1000000] [--reviews 200] [--work DIR]

Texts are those of a synthetic twin, from 20,000 products on in copies that each have brands of their own.
Their vectors are random, since encoding a million texts takes hours here; the search does the same work on
them, and the quality of links is not looked at. They are written as an index without a Chroma store, which
no search of the default configuration opens. Reviews are encoded by the real encoder and linked one at a
time, by rules alone, without pictures and without a model. Each step is a process of its own: the first
opening makes the word tables, the second finds them. Seconds and milliseconds are by the clock and, in
brackets, of the processors: on a busy machine those say more. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ameli_llm.linker import Linker

SIZES = (10_000, 100_000, 1_000_000)
BASE = 20_000
MAKE, OPEN, LINK = "make", "open", "link"
SETTINGS = ("attributes.extractors=[rules]", "retrieval.image_encoders=[]")
COLUMNS = (
    "products",
    "products.json MiB",
    "index MiB",
    "first opening s",
    "opening s",
    "most memory, opening MiB",
)
MEASURES = (
    "memory, linking MiB",
    "of it mapped files MiB",
    "link p50 ms",
    "link p95 ms",
    "many, ms a review",
)


def main() -> None:
    """A row per size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--work", type=Path, help="folder for knowledge bases and indexes, which are removed")
    parser.add_argument("--step", choices=(MAKE, OPEN, LINK), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step = {MAKE: make, OPEN: first_opening, LINK: link}[options.step]
        print(json.dumps(step(options.work, options.sizes[0], options.reviews)))
        return
    print("| " + " | ".join((*COLUMNS, *MEASURES)) + " |")
    print("|" + "---:|" * len((*COLUMNS, *MEASURES)))
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.work) as work:
            found: dict[str, str] = {}
            for name in (MAKE, OPEN, LINK):
                found |= child(Path(work), size, options.reviews, name)
            print(f"| {size:,} | " + " | ".join(found.values()) + " |", flush=True)


def child(work: Path, size: int, reviews: int, step: str) -> dict[str, str]:
    """What a process of its own measures of a step."""
    command = [sys.executable, __file__, "--work", str(work), "--sizes", str(size)]
    command += ["--reviews", str(reviews), "--step", step]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        raise SystemExit(f"{step} of {size:,} products ended with {done.returncode}")
    result: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return result


def make(work: Path, size: int, reviews: int) -> dict[str, str]:
    """Writes knowledge base and index."""
    from ameli_llm.dataset.load import load_dataset
    from ameli_llm.dataset.synth import write_twin
    from retrieval import generations
    from retrieval.encoders import text_encoder
    from retrieval.generation_files import write_generation
    from retrieval.manifest import EncoderStamp
    from retrieval.snapshot import Snapshot, describe

    base = min(size, BASE)
    write_twin(work / "base", products=base, reviews=5 * reviews, seed=0, images=False)
    pages = [page(one) for one in json.loads((work / "base" / "products.json").read_text(encoding="utf-8"))]
    (work / "base" / "test").rename(kb(work) / "test")
    with (kb(work) / "products.json").open("w", encoding="utf-8") as file:
        file.write("[")
        for number in range(size):
            brand, text = pages[number % base]
            file.write(f"{',' * bool(number)}\n{copied(brand, text, number // base, number)}")
        file.write("]")
    dataset = load_dataset(kb(work))
    entries = describe(dataset.products.values(), lambda name: None)
    stamp = EncoderStamp.of(text_encoder("sbert"))
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((size, stamp.dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    snapshot = Snapshot(entries, vectors, {}, np.zeros(0, np.int64))
    with generations.new(index(work)) as place:
        write_generation(place, snapshot, stamp, (), dataset.digest, None, chroma=False)
    return {"json": f"{mebibytes(kb(work)):,.0f}", "index": f"{mebibytes(index(work)):,.0f}"}


def first_opening(work: Path, size: int, reviews: int) -> dict[str, str]:
    """Seconds to a linker that has everything loaded and has made its tables."""
    watch = Watch()
    with opened(work):
        return {"first": f"{watch.clock:,.1f} ({watch.processor:,.1f})"}


def link(work: Path, size: int, reviews: int) -> dict[str, str]:
    """Seconds to open, memory when reviews have been linked, and how long they took."""
    watch = Watch()
    with opened(work) as linker:
        opening, most = f"{watch.clock:,.1f} ({watch.processor:,.1f})", peak()
        records = json.loads((kb(work) / "test" / "reviews.json").read_text(encoding="utf-8"))[:reviews]
        asked = [{name: one[name] for name in ("header", "body", "mention")} for one in records]
        for review in asked[:5]:
            linker.link(review)
        spent = [alone(linker, review) for review in asked]
        memory = dict(memory_now())
        watch = Watch()
        linked = len(list(linker.link_many(asked)))
        together = f"{1000 * watch.clock / linked:,.1f} ({1000 * watch.processor / linked:,.1f})"
    p50, p95 = (np.percentile(spent, share, axis=0) for share in (50, 95))
    return {
        "open": opening,
        "peak": f"{most:,.0f}",
        "memory": f"{memory['RssAnon'] + memory['RssFile']:,.0f}",
        "mapped": f"{memory['RssFile']:,.0f}",
        "p50": f"{p50[0]:,.1f} ({p50[1]:,.1f})",
        "p95": f"{p95[0]:,.1f} ({p95[1]:,.1f})",
        "together": together,
    }


class Watch:
    """Seconds since it was made: by the clock, and of the processors."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    @property
    def clock(self) -> float:
        """By the clock."""
        return time.perf_counter() - self._began[0]

    @property
    def processor(self) -> float:
        """Of the processors, by all threads of this process."""
        return time.process_time() - self._began[1]


def alone(linker: Linker, review: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds of one review: by the clock, and of the processors."""
    watch = Watch()
    linker.link(review)
    return 1000 * watch.clock, 1000 * watch.processor


def opened(work: Path) -> Linker:
    """A linker over the knowledge base."""
    from ameli_llm.linker import Linker

    return Linker.open(kb(work), index=index(work), settings=SETTINGS)


def page(record: dict[str, Any]) -> tuple[str, str]:
    """The brand of a product of the twin and its record as JSON, without an id."""
    kept = {name: value for name, value in record.items() if name not in ("id", "url", "image_url")}
    return record["product_name"].split(" - ")[0], json.dumps(kept)


def copied(brand: str, text: str, copy: int, number: int) -> str:
    """The record of a product under an id and, in a copy, of another brand."""
    return f'{{"id": {number + 1}, {text.replace(brand, brand + letters(copy))[1:]}'


def letters(number: int) -> str:
    """The number in letters, "" for 0."""
    return "" if not number else letters(number // 26) + chr(ord("a") + number % 26)


def kb(work: Path) -> Path:
    """The dataset folder."""
    (work / "kb").mkdir(exist_ok=True)
    return work / "kb"


def index(work: Path) -> Path:
    """The folder of the index."""
    (work / "index").mkdir(exist_ok=True)
    return work / "index"


def mebibytes(folder: Path) -> float:
    """Of all its files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def memory_now() -> Iterator[tuple[str, float]]:
    """MiB that this process has in memory, of its own and of mapped files."""
    for name, size in re.findall(r"^(Rss\w+):\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M):
        yield name, int(size) / 1024


def peak() -> float:
    """MiB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

"""A shared index on a Chroma server: seconds to bring it there and to fetch it, and the recall of its HNSW.

    python benchmarks/chroma_server.py [--products 10000] [--queries 100]

Starts the server of the installed chromadb over a temporary folder. The vectors are synthetic, seeded and
clustered as product texts are. Prints a Markdown table; exit code 1 when what was fetched is not, bit by bit,
what was brought.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ameli_llm.errors import AmeliError
from retrieval.encoders.encoder import Vectors, normalised
from retrieval.manifest import EncoderStamp
from retrieval.search import search
from retrieval.shared.server import Server, ef_search, open_server
from retrieval.shared.state import key_of
from retrieval.snapshot import Entry, Snapshot

T = TypeVar("T")
STAMP = EncoderStamp(name="synthetic", model="", revision="1", dimension=384)


def main() -> int:
    """Runs the benchmark; 1 when the vectors have changed on the way."""
    options = _options()
    snapshot, queries = _knowledge_base(options.products, options.queries)
    rows: list[tuple[str, str, str]] = []
    exact = search(snapshot.text, queries, options.k)[0]
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as server:
        key = key_of(snapshot.entries, STAMP, ())
        seconds, state = _timed(lambda: server.publish(key, snapshot, ef_search(options.k)))
        rows.append(("bring all vectors there, read back and compare", f"{seconds:.1f} s", ""))
        seconds, fetched = _timed(lambda: server.read(state, snapshot.entries, STAMP, ()))
        rows.append(("fetch them for a second linker", f"{seconds:.1f} s", ""))
        ours = _median(lambda query: search(fetched.text, query, options.k), queries)
        rows.append((f"exact search, top {options.k}", f"{ours:.1f} ms", "1.0000"))
        theirs = _median(lambda query: server.nearest(state, query, options.k), queries)
        found = server.nearest(state, queries, options.k)
        hits = [
            len({*map(int, ids)} & {*right.tolist()}) for (ids, _), right in zip(found, exact, strict=True)
        ]
        recall = sum(hits) / exact.size
        rows.append((f"the server's HNSW, top {options.k}", f"{theirs:.1f} ms", f"{recall:.4f}"))
    sys.stdout.write(f"{options.products} x {STAMP.dimension}, {options.queries} queries one at a time\n\n")
    sys.stdout.write("| what | time (median) | recall |\n| --- | --- | --- |\n")
    sys.stdout.writelines(f"| {' | '.join(row)} |\n" for row in rows)
    return 0 if np.array_equal(fetched.text, snapshot.text) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--k", type=int, default=1000)
    return parser.parse_args()


def _knowledge_base(products: int, queries: int) -> tuple[Snapshot, Vectors]:
    """Products around 400 centres, their ids being their rows; queries near products."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((400, STAMP.dimension), dtype=np.float32)
    noise = rng.standard_normal((products, STAMP.dimension), dtype=np.float32)
    text = normalised(centres[rng.integers(0, len(centres), products)] + 0.8 * noise)
    away = rng.standard_normal((queries, STAMP.dimension), dtype=np.float32) / np.sqrt(STAMP.dimension)
    entries = tuple(Entry(row, f"Product {row}", ("Shop",), f"Text {row}", ()) for row in range(products))
    asked = normalised(text[rng.integers(0, products, queries)] + 0.8 * away)
    return Snapshot(entries, text, {}, np.zeros(0, np.int64)), asked


@contextmanager
def _server(folder: Path) -> Iterator[Server]:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port = str(one.getsockname()[1])
    chroma = str(Path(sys.executable).with_name("chroma"))
    command = [chroma, "run", "--host", "127.0.0.1", "--port", port, "--path", str(folder / "data")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}", process)
        with open_server(f"http://127.0.0.1:{port}", timeout=300) as server:
            yield server
    finally:
        process.kill()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            with open_server(url):
                return
        except AmeliError:
            if process.poll() is not None:
                raise
        time.sleep(0.2)
    raise AmeliError(f"The Chroma server at {url} does not start.")


def _timed(action: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def _median(action: Callable[[Vectors], object], queries: Vectors) -> float:
    """Milliseconds of one query."""
    return 1000 * float(np.median([_timed(partial(action, query[None]))[0] for query in queries]))


if __name__ == "__main__":
    sys.exit(main())

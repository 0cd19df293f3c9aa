"""What an index costs: texts beside plain sentence-transformers, images beside plain decode and encode.

    python benchmarks/indexing.py texts [DATASET ...] [--sample 256] [--rounds 3]
    python benchmarks/indexing.py images FOLDER [--enlarged 6] [--sample 64] [--rounds 3]

Both ways take turns in one process; the best round counts, by the clock and by processor time. Prints
Markdown. ``texts`` also compares what each precision finds, over all products and every review of the
datasets (a twin of 3,200 products where none is named): recall@100 of the gold product, and the share of
float32's first hundred. ``images`` takes the photos of FOLDER; with ``--enlarged 6`` pictures of 6 x 6 of
them each, which are as large as a camera's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from retrieval import encoders
from retrieval.encoders._pictures import encode_together
from retrieval.encoders.encoder import PictureEncoder, TextEncoder, Vectors, normalised
from retrieval.encoders.sbert import SBERT
from retrieval.search import search
from retrieval.texts import entity_text, query_text

TEXT_ENCODERS = ("sbert", "sbert_bfloat16")
IMAGE_ENCODERS = ("descriptor", "efficientnet")
PLAIN = "plain"
DEPTH = 100


def main() -> None:
    """Runs the part that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    texts, images = parts.add_parser("texts"), parts.add_parser("images")
    texts.add_argument("datasets", nargs="*", type=Path)
    texts.add_argument("--sample", type=int, default=256)
    images.add_argument("folder", type=Path)
    images.add_argument("--enlarged", type=int, default=1)
    images.add_argument("--sample", type=int, default=64)
    for part in texts, images:
        part.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        lines = of_texts(options, Path(work)) if options.part == "texts" else of_images(options, Path(work))
        for line in lines:
            print(line, flush=True)


def of_texts(options: argparse.Namespace, work: Path) -> Iterator[str]:
    """A table of speed, and one of what is found."""
    datasets = options.datasets or [work / "twin"]
    if not options.datasets:
        write_twin(datasets[0], products=3200, reviews=1600, seed=5, images=False)
    transformer = SBERT("").transformer
    loaded = {name: encoders.text_encoder(name) for name in TEXT_ENCODERS}
    tables = [texts_of(dataset) for dataset in datasets]
    everything = list(chain.from_iterable(products for products, _, _ in tables))
    sample = everything[:: max(1, len(everything) // options.sample)][: options.sample]
    ways: dict[str, Callable[[], object]] = {
        PLAIN: lambda: transformer.encode(sample, show_progress_bar=False)
    }
    ways |= {name: partial(one.encode, sample) for name, one in loaded.items()}
    yield from speed(ways, len(sample), options.rounds, "texts")
    yield "\n| set | products | reviews | encoder | recall@100, % | float32's first 100, % | least cosine |"
    yield "|---|---:|---:|---|---:|---:|---:|"
    for dataset, (products, reviews, gold) in zip(datasets, tables, strict=True):
        yield from found(dataset.name, products, reviews, gold, loaded)


def texts_of(folder: Path) -> tuple[list[str], list[str], list[int]]:
    """Texts of products and of reviews, and the row of each review's gold product (-1: not among them)."""
    dataset = load_dataset(folder)
    rows = {id_: row for row, id_ in enumerate(dataset.products)}
    parts = [dataset.split(name) for name in dataset.splits()]
    reviews = [review for part in parts for review in part.reviews]
    gold = {id_: entity for part in parts for id_, entity in part.gold.items()}
    texts = [entity_text(product) for product in dataset.products.values()]
    wanted = [gold.get(review.id) for review in reviews]
    right = [-1 if id_ is None else rows.get(id_, -1) for id_ in wanted]
    return texts, [query_text(review) for review in reviews], right


def found(
    name: str,
    products: list[str],
    reviews: list[str],
    gold: list[int],
    loaded: Mapping[str, TextEncoder],
) -> Iterator[str]:
    """A row for each encoder: the share of gold products, and of float32's hundred, in the first hundred."""
    first: tuple[npt.NDArray[Any], Vectors] | None = None
    known = np.array(gold) >= 0
    for encoder, one in loaded.items():
        vectors = one.encode(products)
        rows, _ = search(vectors, one.encode(reviews), min(DEPTH, len(products)))
        first = first or (rows, vectors)
        recall = (rows == np.array(gold)[:, None]).any(axis=1)[known].mean()
        shared = np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(rows, first[0], strict=True)])
        cosine = (vectors * first[1]).sum(axis=1).min()
        numbers = f"{100 * recall:.2f} | {100 * shared:.2f} | {cosine:.5f}"
        yield f"| {name} | {len(products):,} | {known.sum():,} | {encoder} | {numbers} |"


def of_images(options: argparse.Namespace, work: Path) -> Iterator[str]:
    """A table of speed, and how far the vectors are apart."""
    photos = sorted(path for path in options.folder.iterdir() if path.suffix in (".jpg", ".jpeg"))
    paths = photos[:: max(1, len(photos) // options.sample)][: options.sample]
    if options.enlarged > 1:
        paths = [enlarged(photos, at, options.enlarged, work) for at in range(len(paths))]
    loaded: list[Any] = [encoders.image_encoder(name) for name in IMAGE_ENCODERS]
    yield f"{len(paths)} pictures, the first of {' x '.join(map(str, open_image(paths[0]).size))} pixels\n"
    ways = {
        PLAIN: lambda: [plain(encoder, paths) for encoder in loaded],
        "each by itself": lambda: [encoder.encode_images(paths) for encoder in loaded],
        "together": lambda: encode_together(loaded, paths),
    }
    yield from speed(ways, len(paths), options.rounds, "pictures")
    for encoder in loaded:
        vectors = np.stack([one for one in encoder.encode_images(paths) if not isinstance(one, ImageProblem)])
        cosine = (vectors * plain(encoder, paths)).sum(axis=1).min()
        yield f"\nLeast cosine to the plain way's vector, {encoder.name}: {cosine:.5f}."


def plain(encoder: PictureEncoder, paths: list[Path]) -> Vectors:
    """One picture after the other, decoded in full."""
    return normalised(np.stack([encoder.encode_picture(open_image(path)) for path in paths]))


def enlarged(photos: list[Path], seed: int, side: int, folder: Path) -> Path:
    """A picture of ``side`` x ``side`` photos."""
    chosen = np.random.default_rng(seed).choice(len(photos), side * side)
    width, height = open_image(photos[chosen[0]]).size
    picture = Image.new("RGB", (side * width, side * height))
    for at, one in enumerate(chosen):
        tile = open_image(photos[one]).resize((width, height))
        picture.paste(tile, (at % side * width, at // side * height))
    path = folder / f"{seed}.jpg"
    picture.save(path, quality=90)
    return path


def speed(ways: Mapping[str, Callable[[], object]], count: int, rounds: int, what: str) -> Iterator[str]:
    """A row for each way, the first of which is what the others are compared with."""
    best = dict.fromkeys(ways, (0.0, 0.0))
    for _ in range(rounds):
        for name, way in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            way()
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            best[name] = max(best[name][0], count / clock), max(best[name][1], count / processor)
    first = next(iter(best.values()))
    yield f"| way | {what}/s | {what} per second of processor time | times plain (clock, processor) |"
    yield "|---|---:|---:|---:|"
    for name, (by_clock, by_processor) in best.items():
        times = f"{by_clock / first[0]:.1f}, {by_processor / first[1]:.1f}"
        yield f"| {name} | {by_clock:.1f} | {by_processor:.1f} | {times} |"


if __name__ == "__main__":
    main()

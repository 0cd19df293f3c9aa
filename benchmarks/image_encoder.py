"""The image encoders that need no hub: images a second, by turns in one process, and the first use of each.

    python benchmarks/image_encoder.py [--products 100] [--rounds 3]

The images are those of a synthetic twin's products. EfficientNet-Lite2 is exported to ONNX into a cache of
its own first. Prints Markdown: the best round of each, by the clock and by processor time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from ameli_llm.dataset.synth import write_twin
from retrieval import encoders
from retrieval.encoders.encoder import ImageEncoder

NAMES = ("descriptor", "efficientnet")


def main() -> None:
    """A row for each of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        os.environ["AMELI_LLM_CACHE"] = str(Path(work) / "cache")
        twin = Path(work) / "twin"
        write_twin(twin, products=options.products, reviews=options.products, seed=0)
        images = sorted((twin / "product_images").iterdir())
        rows = {name: first_and_next(name, images[0]) for name in NAMES}
        loaded = {name: encoders.image_encoder(name) for name in NAMES}
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
        for _ in range(options.rounds):
            for name, encoder in loaded.items():
                rounds[name].append(rate(encoder, images))
    print(f"{len(images):,} images\n")
    print("| encoder | images/s | images per second of processor time | first image, s | once kept, s |")
    print("|---|---:|---:|---:|---:|")
    for name, found in rounds.items():
        wall, processor = (max(kind) for kind in zip(*found, strict=True))
        print(f"| {name} | {wall:.1f} | {processor:.1f} | {rows[name][0]:.2f} | {rows[name][1]:.2f} |")


def first_and_next(name: str, image: Path) -> tuple[float, float]:
    """Seconds from nothing to the vector of an image: on this machine for the first time, and then."""
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        encoders.image_encoder(name).encode_images([image])
        seconds.append(time.perf_counter() - started)
    return seconds[0], seconds[1]


def rate(encoder: ImageEncoder, images: list[Path]) -> tuple[float, float]:
    """Images a second, by the clock and by processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    encoder.encode_images(images)
    return len(images) / (time.perf_counter() - wall), len(images) / (time.process_time() - processor)


if __name__ == "__main__":
    main()

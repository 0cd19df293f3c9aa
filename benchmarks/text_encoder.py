"""The text encoder: texts a second in ONNX Runtime and in sentence-transformers, by turns in one process.

    python benchmarks/text_encoder.py [--products 1000] [--rounds 5]

The texts are those that an index of a synthetic twin embeds, with the weights of the packaged model. Prints
Markdown: the best round of each, by the clock and by processor time, and how far the vectors are apart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from retrieval.encoders.encoder import TextEncoder
from retrieval.encoders.sbert import SBERT, create
from retrieval.texts import entity_text


def main() -> None:
    """A row for each of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    texts = product_texts(options.products)
    encoders: dict[str, TextEncoder] = {"sentence-transformers": SBERT(""), "ONNX Runtime": create()}
    vectors = [encoder.encode(texts[:32]) for encoder in encoders.values()]
    seconds = {name: [rate(encoder, texts)] for name, encoder in encoders.items()}
    for _ in range(options.rounds - 1):
        for name, encoder in encoders.items():
            seconds[name].append(rate(encoder, texts))
    print(f"{len(texts):,} texts; greatest difference {np.abs(vectors[0] - vectors[1]).max():.1g}\n")
    print("| encoder | texts/s | texts per second of processor time |\n|---|---:|---:|")
    for name, rounds in seconds.items():
        wall, processor = (max(kind) for kind in zip(*rounds, strict=True))
        print(f"| {name} | {wall:.0f} | {processor:.0f} |")


def product_texts(products: int) -> list[str]:
    """The texts of a twin's products."""
    with tempfile.TemporaryDirectory() as work:
        twin = Path(work) / "twin"
        write_twin(twin, products=products, reviews=products, seed=0, images=False)
        return [entity_text(product) for product in load_dataset(twin).products.values()]


def rate(encoder: TextEncoder, texts: list[str]) -> tuple[float, float]:
    """Texts a second, by the clock and by processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    encoder.encode(texts)
    return len(texts) / (time.perf_counter() - wall), len(texts) / (time.process_time() - processor)


if __name__ == "__main__":
    main()

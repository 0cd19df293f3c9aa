"""How fast trained taggers are, and how much of the CPU time is not spent in their encoders.

    python benchmarks/taggers.py [--texts 256] [--tokens 46] [--labels 26] [--rounds 3] [--batch 32]

The size of the networks is that of real use: packaged encoders, MEPAVE's 26 attributes, pictures for the
models that look at them. The weights of what stands on the encoders are untrained, which changes no number of
operations but one: how many attributes ULS-DRAM decodes, which is set by --chosen (of an average text of
MEPAVE about 2). Texts are words of a small vocabulary, pictures are noise. Time is that of all cores
together, and other programs' is not in it. Prints Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ameli_llm.attributes import mjave, uls_dram
from ameli_llm.attributes.tagging.batches import Batches
from ameli_llm.attributes.tagging.examples import LabelledText
from ameli_llm.attributes.tagging.kind import Kind
from ameli_llm.attributes.tagging.pictures import Pictures
from ameli_llm.attributes.tagging.settings import made_of
from ameli_llm.attributes.tagging.tagger import Tagger
from ameli_llm.attributes.tagging.trained import build
from retrieval.regions import load_regions

WORDS = (
    "red",
    "blue",
    "cotton",
    "silk",
    "round",
    "collar",
    "long",
    "sleeve",
    "shirt",
    "bag",
    "with",
    "zipper",
)
ROWS: Sequence[tuple[Kind, Mapping[str, Any]]] = (
    (mjave.KIND, {"image_encoder": "none"}),
    (mjave.KIND, {}),
    (uls_dram.KIND, {"image_encoder": "none", "attributes": "all"}),
    (uls_dram.KIND, {"fusion": "vanilla", "attributes": "all"}),
    (uls_dram.KIND, {}),
)


@dataclass
class Clock:
    """Seconds inside the encoders."""

    inside: float = 0.0


def main() -> None:
    """A row a model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("texts", 256), ("tokens", 46), ("labels", 26), ("rounds", 3), ("batch", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--chosen", type=int, default=2, help="attributes of a text that ULS-DRAM decodes")
    options = parser.parse_args()
    print(f"{options.texts} texts of {options.tokens} tokens, {options.labels} attributes, ", end="")
    print(f"{torch.get_num_threads()} threads, best of {options.rounds} rounds.\n")
    print("| model | texts/s | ms a text | outside the encoders |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        texts = _texts(Path(folder), options.texts, options.tokens)
        for kind, changes in ROWS:
            _row(kind, changes, texts, options)


def _row(
    kind: Kind, changes: Mapping[str, Any], texts: Sequence[LabelledText], options: argparse.Namespace
) -> None:
    extra = {"most": options.chosen, "threshold": 0.0} if kind is uls_dram.KIND else {}
    settings = made_of(kind.settings, {"max_tokens": options.tokens, **extra, **changes})
    labels = [f"attribute {number}" for number in range(options.labels)]
    tagger, cutter, image = build(kind, settings, labels, load_regions)
    tagger.eval()
    best, share = float("inf"), 0.0
    for _ in range(options.rounds):
        clock = Clock()
        began = time.process_time()
        with torch.inference_mode(), _timed(tagger, clock):
            words = cutter.cut([text.text for text in texts])
            pictures = Pictures(image.prepare) if image else None
            batches = Batches(texts, words, labels, pad=cutter.pad, device=tagger.device, pictures=pictures)
            for rows in batches.in_order(options.batch):
                tagger.said(batches.batch(rows))
        seconds = time.process_time() - began
        if seconds < best:
            best, share = seconds, 1 - clock.inside / seconds
    rate = len(texts) / best
    print(f"| {kind.title(settings)} | {rate:.1f} | {1000 / rate:.1f} | {100 * share:.1f} % |")


@contextmanager
def _timed(tagger: Tagger, clock: Clock) -> Iterator[None]:
    """Books what goes by in the text encoder and in the image network."""
    hooks = []
    started: list[float] = []
    for module in (tagger.text.model if hasattr(tagger.text, "model") else tagger.text, tagger.image):
        if module is None:
            continue
        hooks.append(module.register_forward_pre_hook(lambda *_: started.append(time.process_time())))
        hooks.append(
            module.register_forward_hook(
                lambda *_: setattr(clock, "inside", clock.inside + time.process_time() - started.pop())
            )
        )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _texts(folder: Path, count: int, tokens: int) -> list[LabelledText]:
    rng = np.random.default_rng(0)
    texts = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)).save(path, compress_level=1)
        words = rng.choice(WORDS, size=int(rng.integers(tokens // 2, tokens)))
        texts.append(LabelledText(" ".join(words), image=path))
    return texts


if __name__ == "__main__":
    main()

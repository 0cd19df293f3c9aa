"""A small shop for the tests of AMELINK: reviews state a colour and a size, photos show the colour."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ameli_llm.dataset.images import ImageProblem
from ameli_llm.dataset.load import Dataset
from ameli_llm.types import AttributeValue, Candidate, Evidence, Product, Review, SpecRow
from eval.baselines.amelink.settings import AmelinkSettings, settings_for
from eval.baselines.baseline import Example, Floats, Task
from eval.baselines.material import Material
from retrieval.encoders.encoder import normalised
from retrieval.index import Index
from retrieval.manifest import EncoderStamp, Manifest
from retrieval.snapshot import describe, embed

COLOURS = ("red", "blue", "green", "white", "black", "pink")
SIZES = ("small", "medium", "large", "huge")
KINDS = ("lamp", "kettle")
PRODUCTS = len(COLOURS) * len(SIZES) * len(KINDS)
SIZE = 12


class Pictures:
    """A picture file says its colour; photos of reviews are noisier."""

    name, model, revision, dimension = "pictures", "", "1", SIZE

    def encode_images(self, paths: Sequence[Path]) -> list[Floats | ImageProblem]:
        return [self._vector(*path.read_text().split()) for path in paths]

    def _vector(self, colour: str, seed: str) -> Floats:
        noise = np.random.default_rng(int(seed)).standard_normal(SIZE)
        shown = np.eye(SIZE)[COLOURS.index(colour)] + 0.15 * noise
        return normalised(shown.astype(np.float32))


class Words:
    """Text vectors of no meaning: the index needs some."""

    name, model, revision, dimension = "words", "folder/words", "1", 4

    def encode(self, texts: Sequence[str]) -> Floats:
        return normalised(np.array([[len(text), 1, 2, 3] for text in texts], np.float32))


def make_material(root: Path, images: bool = True, name: Callable[[int], int | str] = int) -> Material:
    """Products 100, 101, ...: each colour, size and kind once. Without images the index has no encoder.

    ``name`` makes ids of the numbers.
    """
    for folder in ("product_images", "review_images", "index"):
        (root / folder).mkdir(parents=True)
    products = []
    for number in range(PRODUCTS):
        colour, size, kind = look(number)
        (root / "product_images" / f"{number}.txt").write_text(f"{colour} {number}")
        products.append(
            Product(
                name(100 + number),
                f"Acme - {kind} {number} - {colour}",
                ("Shop", kind),
                f"A {kind} for every home.",
                spec=(
                    SpecRow("General", "Kind", kind),
                    SpecRow("General", "Color", colour),
                    SpecRow("General", "Size", size),
                ),
                images=(f"{number}.txt",),
            )
        )
    dataset = Dataset(root, products)
    pictures = [Pictures()] if images else []
    snapshot = embed(
        describe(products, dataset.product_image), dataset.product_image, Words(), pictures, None, {}
    )
    manifest = Manifest(
        dataset_digest=dataset.digest,
        kb_version=snapshot.kb_version,
        text=EncoderStamp.of(Words()),
        image_encoders=tuple(map(EncoderStamp.of, pictures)),
        products=len(products),
        images=len(snapshot.image_owner),
        unusable_images=0,
    )
    index = Index(root / "index", root / "index", manifest, snapshot)
    index.loaded_image_encoders.update({one.name: one for one in pictures})
    index.__dict__.update(text_encoder=Words())
    return Material.of(dataset, index)


def look(number: int) -> tuple[str, str, str]:
    """Colour, size and kind of a product."""
    return (
        COLOURS[number % len(COLOURS)],
        SIZES[number // len(COLOURS) % len(SIZES)],
        KINDS[number // (len(COLOURS) * len(SIZES))],
    )


def make_examples(
    root: Path,
    products: Sequence[int],
    copies: int = 2,
    k: int = 5,
    seed: int = 0,
    stated: bool = False,
    second: bool = False,
    name: Callable[[int], int | str] = int,
) -> list[Example]:
    """Reviews of the products with ``k`` candidates each, gold in nine of ten lists.

    The others share a colour, size or kind with the product. With ``stated`` extraction has found the colour.
    With ``second`` each review has one more photo, of a product of another colour.
    """
    random = np.random.default_rng(seed)
    made = []
    for number in products:
        colour, size, kind = look(number)
        for copy in range(copies):
            review = 1 + number * copies + copy + 10_000 * seed
            photo = f"{review}.txt"
            (root / "review_images" / photo).write_text(f"{colour} {1000 + review}")
            photos = (photo,)
            if second:
                photos = (photo, f"{review}-b.txt")
                other = COLOURS[(number + 1) % len(COLOURS)]
                (root / "review_images" / photos[1]).write_text(f"{other} {5000 + review}")
            others = sorted(
                random.permutation([i for i in range(PRODUCTS) if i != number]),
                key=lambda other: sum(a == b for a, b in zip(look(other), look(number), strict=True)) < 1,
            )[:k]
            ids = [*others] if review % 10 == 0 else [number, *others[: k - 1]]
            candidates = tuple(
                Candidate(name(100 + int(i)), 1.0 - 0.1 * rank, {"sbert": 0.5, "image": 0.4})
                for rank, i in enumerate(random.permutation(ids))
            )
            text = f"I bought it in {colour}, it is {size}. Works well."
            value = AttributeValue("Color", colour, "rules", Evidence("body", 15, 18, colour))
            task = Task(
                Review(name(review), "Nice", text, f"the {kind}", photos),
                candidates,
                (value,) if stated else (),
            )
            made.append(Example(task, name(100 + number)))
    return made


def write_tiny_deberta(folder: Path, seed: int = 0, width: int = 32, pooler: bool = False) -> Path:
    """A DeBERTa of one layer with random weights and a word tokenizer, as transformers saves them."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    with warnings.catch_warnings():  # transformers scripts functions of this model
        warnings.simplefilter("ignore", DeprecationWarning)
        import transformers.models.deberta_v2.modeling_deberta_v2  # noqa: F401
    from transformers import DebertaV2Config, DebertaV2Model, PreTrainedTokenizerFast

    text = "i bought it in is works well nice the a for every home color size kind acme product title name of"
    words = {*COLOURS, *SIZES, *KINDS, *text.split(), *".:,-", "brand", *map(str, range(PRODUCTS))}
    specials = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    vocabulary = {word: i for i, word in enumerate([*specials, *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    config = DebertaV2Config(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=width,
        max_position_embeddings=64,
        type_vocab_size=2,
        relative_attention=True,
        position_buckets=8,
        pos_att_type=["p2c", "c2p"],
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        DebertaV2Model(config).save_pretrained(folder)
        if pooler:
            _add_pooler(folder, width)
    return folder


def _add_pooler(folder: Path, width: int) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = {f"deberta.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    weights["pooler.dense.weight"] = torch.randn(width, width)
    weights["pooler.dense.bias"] = torch.randn(width)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def tiny_settings(encoder: Path | str, preset: str = "paper", **changes: object) -> AmelinkSettings:
    """Settings of the preset in a size that trains in a second."""
    small = {"layers": (16,), "epochs": 3, "adapter_epochs": 3, "batch_size": 8, "candidates": 5}
    small |= {"attributes": 3, "max_tokens": 64, "learning_rate": 1e-3}
    return settings_for(preset, str(encoder), {**small, **changes})


def copy_folder(source: Path, target: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(source, target))

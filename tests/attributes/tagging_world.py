"""A tiny BERT, a tiny image network and a shop of sentences, for the tests of trained extractors.

"gold" is a colour where the picture is yellow and a material where it is grey: no text tells which.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ameli_llm.attributes.tagging.examples import Corpus, LabelledText, Span
from ameli_llm.attributes.tagging.pictures import Pixels, RegionNetwork

COLOURS = ("red", "blue", "green")
MATERIALS = ("silk", "wool", "linen")
THINGS = ("shirt", "bag", "shoe")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "new", "of", ",", ".", "gold", "##en", "not")
WIDTH = 16
SIDE = 8
PICTURES = {"Colour": (220, 200, 20), "Material": (120, 120, 120)}


def tiny_bert(folder: Path, words: Sequence[str] = ()) -> Path:
    """A BERT of one layer over the shop's words, with random weights, as a folder."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    listed = [*VOCABULARY, *COLOURS, *MATERIALS, *THINGS, *words]
    vocabulary = {word: number for number, word in enumerate(listed)}
    raw = BertWordPieceTokenizer(vocab=vocabulary, lowercase=True)
    tokenizer = BertTokenizerFast(tokenizer_object=raw._tokenizer)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(listed),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        initializer_range=0.2,
    )
    model = BertModel(config)
    with torch.no_grad():  # words count for more than their places, as in a trained model
        model.embeddings.position_embeddings.weight.mul_(0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_regions(name: str = "tiny") -> RegionNetwork:
    """A network of one layer over 8 x 8 pixels with four regions, always of the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 6, kernel_size=4, stride=4), torch.nn.Tanh())
    return RegionNetwork(name, "1", 6, network, prepare)


def prepare(image: Image.Image) -> Pixels:
    pixels = np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32)
    return np.ascontiguousarray((pixels / 128 - 1).transpose(2, 0, 1))


def text_of(written: str, image: Path | None = None, name: str = "") -> LabelledText:
    """A text whose values stand between <ATTRIBUTE> and </ATTRIBUTE>."""
    from ameli_llm.attributes.tagging.marked import unmarked

    text, spans = unmarked(written)
    return LabelledText(text, spans, image, name=name)


def shop(folder: Path, count: int = 36) -> Corpus:
    """Sentences of every colour and material, and of gold: each twice, with both pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for kind, colour in PICTURES.items():
        files[kind] = folder / f"{kind}.png"
        picture = Image.new("RGB", (SIDE, SIDE), "white")  # of two colours, so that its regions differ
        picture.paste(colour, (0, 0, SIDE, SIDE // 2))
        picture.save(files[kind])
    texts = []
    for number in range(count):
        which, kind = number // 2, ("Colour", "Material")[number % 2]
        colour, material, thing = COLOURS[which % 3], MATERIALS[which // 3 % 3], THINGS[which // 2 % 3]
        before, after = ("", "not ", "new ", "")[which % 4], (".", "")[which // 4 % 2]
        texts.append(
            text_of(
                f"{before}a <Colour>{colour}</Colour> {thing} of <Material>{material}</Material>, a "
                f"<{kind}>gold</{kind}> {thing}{after}",
                files[kind],
                f"product {which}",
            )
        )
    return Corpus("mepave", {"train": tuple(texts), "dev": tuple(texts), "test": tuple(texts[-8:])})


def span(text: str, words: str, attribute: str) -> Span:
    """The first place of the words in the text."""
    start = text.index(words)
    return Span(start, start + len(words), attribute)


def settings_of(kind: Any, folder: Path, **changes: Any) -> Any:
    """Settings for the tiny encoders that learn within a second."""
    given = {"encoder": str(folder), "image_encoder": "tiny", "max_tokens": 20, "batch_size": 8}
    given |= {"learning_rate": 0.01, "epochs": 24, "patience": 24, "attention": 50}
    if kind.name == "uls_dram":
        given |= {"learning_rate": 0.005, "batch_size": 6, "epochs": 14, "softmax": True}
    return kind.settings.model_validate({**given, **changes})

"""Trained taggers with and without pictures on texts of a twin in which only the picture tells the colour.

    python benchmarks/twin_taggers.py --out DIR [--products 600] [--rows uls_l uls_vl ...]

A text is a shop's line about a product: its name without the colour, two values of its specification in some
order, and three colours of its category in some order, one of them the product's. Values are marked where the
product's own specification has them, as weak labels are ("a dataset folder", docs/extractors.md), so that the
two other colours are none: who does not look at the picture is right about one colour in three. Products of a
few categories are divided by families, six tenths for training, one for the choice of the epoch, three for
the test, of whose families nothing is in training; intervals are over families.

Sized for a CPU: the image network is frozen for all rows and its maps, averaged to 3 x 3 regions, are
computed once, into DIR; rows that fine-tune the text encoder have its first layers only, and of two learning
rates the one that is better on dev. Prints Markdown, for all attributes and for the colour alone. Scores and
pairs are as in annotated_taggers.py.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from annotated_taggers import Tested, print_pairs, print_scores, trained, untrained

from ameli_llm.attributes import mjave, uls_dram
from ameli_llm.attributes.tagging import folder as folders
from ameli_llm.attributes.tagging.examples import Corpus, LabelledText
from ameli_llm.attributes.tagging.pictures import LoadRegions, Pixels, RegionNetwork
from ameli_llm.attributes.tagging.text_encoder import PACKAGED
from ameli_llm.attributes.tagging.weak import of_annotated
from ameli_llm.attributes.values.normalise import is_ignored
from ameli_llm.dataset.synth.canvas import Fonts
from ameli_llm.dataset.synth.catalogue import load_catalogue
from ameli_llm.dataset.synth.layout import make_plan
from ameli_llm.dataset.synth.photos import product_image
from ameli_llm.dataset.synth.products import COLOUR, Item, generator, product_name
from ameli_llm.instruction.annotated import AnnotatedText
from ameli_llm.models import found_folder
from retrieval.regions import load_regions

COLOURS = 3
VALUES = 2
DIFFICULTY = 0.5
TRAINED = 6
"""Tenths of the families that are trained on; another chooses the epoch, the others are the test."""
SIDE = 3
"""The 7 x 7 regions of a picture are averaged to so many squared: 49 more tokens a text took too long."""
TEXT_ONLY = {"image_encoder": "none"}
RATES = (1e-3, 3e-4)
"""Learning rates of a row that fine-tunes the text encoder; the one that is better on dev is shown. ULS-L
was at its ceiling with the first."""
ULS = {"batch_size": 8}
JAVE = {"batch_size": 32, "epochs": 40, "learning_rate": 1e-3}
ROWS: dict[str, tuple[Any, dict[str, Any]]] = {
    "jave_apart": (mjave.KIND, {**JAVE, **TEXT_ONLY, "without": ("multitask",)}),
    "jave": (mjave.KIND, {**JAVE, **TEXT_ONLY}),
    "mjave_apart": (mjave.KIND, {**JAVE, "without": ("multitask",)}),
    "mjave": (mjave.KIND, JAVE),
    "uls_l": (uls_dram.KIND, {**ULS, **TEXT_ONLY, "attributes": "all", "learning_rate": 1e-3}),
    "uls_l_par": (uls_dram.KIND, {**ULS, **TEXT_ONLY}),
    "uls_vl": (uls_dram.KIND, {**ULS, "fusion": "vanilla", "attributes": "all"}),
    "uls_vl_par": (uls_dram.KIND, {**ULS, "fusion": "vanilla"}),
    "uls_vl_self_attention": (uls_dram.KIND, {**ULS, "fusion": "self_attention", "attributes": "all"}),
    "uls_vl_tir": (uls_dram.KIND, {**ULS, "attributes": "all"}),
    "uls_dram": (uls_dram.KIND, ULS),
}
PAIRS = (
    ("constant", "uls_l"),
    ("rules", "jave"),
    ("rules", "mjave"),
    ("rules", "uls_l"),
    ("rules", "uls_dram"),
    ("jave_apart", "jave"),
    ("mjave_apart", "mjave"),
    ("jave", "mjave"),
    ("uls_l", "uls_vl"),
    ("uls_vl", "uls_vl_self_attention"),
    ("uls_vl_self_attention", "uls_vl_tir"),
    ("uls_vl", "uls_vl_tir"),
    ("uls_l", "uls_l_par"),
    ("uls_vl", "uls_vl_par"),
    ("uls_vl_tir", "uls_dram"),
)
"""What is compared, the second with the first: the papers' order."""


def main() -> None:
    """The tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the twin, the maps and the models"
    )
    parser.add_argument("--products", type=int, default=600)
    parser.add_argument("--categories", type=int, default=4)
    parser.add_argument("--texts", type=int, default=2, help="of a product")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--layers", type=int, default=2, help="of MiniLM, in rows that fine-tune it")
    parser.add_argument("--epochs", type=int, default=8, help="of these rows")
    parser.add_argument("--seed", type=int, default=501)
    options = parser.parse_args()
    sides = sides_of(options)
    corpus = Corpus("annotated", {side: tuple(one for one, _, _ in sides[side]) for side in ("train", "dev")})
    tested = Tested(*(tuple(column) for column in zip(*sides["test"], strict=True)))
    print(f"{len(tested.marked)} texts of {len(set(tested.clusters))} families, trained on ", end="")
    print(
        f"{len(sides['train'])} of {len({one for _, _, one in sides['train']})} other families.", flush=True
    )
    answers = untrained(tested, [text for _, text, _ in sides["train"]])
    regions = looked_at(options.out / "maps")
    texts = [text.text for several in sides.values() for _, text, _ in several]
    shallow = str(shortened(options.out / f"minilm-{options.layers}", options.layers, texts))
    for name in options.rows:
        kind, changes = ROWS[name]
        fixed = {"max_tokens": 64, "fewest": 3, **changes}
        if kind is uls_dram.KIND:
            fixed |= {"epochs": options.epochs, "encoder": shallow}
        tried = {}
        for rate in [changes["learning_rate"]] if "learning_rate" in changes else RATES:
            settings = {**fixed, "learning_rate": rate}
            folder = options.out / f"{name}-{rate:g}"
            answer = trained(kind, settings, corpus, tested, folder, regions, options.seed)
            tried[folders.read(folder, kind).best_score or 0.0] = answer
        answers[name] = tried[max(tried)]
    for title, only in ("All attributes", lambda key: True), ("The colour alone", COLOUR.__eq__):
        print(f"\n{title}:\n")
        print_scores(tested, answers, only)
        print_pairs(tested, answers, PAIRS, only)


def sides_of(options: argparse.Namespace) -> dict[str, list[tuple[LabelledText, AnnotatedText, int]]]:
    """The texts of each side, with the family of each; the pictures are drawn."""
    catalogue, fonts = load_catalogue(), Fonts()
    total = options.products * len(catalogue.categories) // options.categories
    drawn = make_plan(catalogue, total, 0, options.seed, DIFFICULTY).items
    rng = np.random.default_rng(options.seed)
    names = sorted({item.family.category.name for item in drawn})
    chosen = {names[at] for at in rng.permutation(len(names))[: options.categories].tolist()}
    items = [item for item in drawn if item.family.category.name in chosen][: options.products]
    families = sorted({item.family.index for item in items})
    tenth = {
        families[at]: 10 * rank // len(families) for rank, at in enumerate(rng.permutation(len(families)))
    }
    pictures = options.out / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    sides: dict[str, list[tuple[LabelledText, AnnotatedText, int]]] = {"train": [], "dev": [], "test": []}
    for at, item in enumerate(items):
        place = tenth[item.family.index]
        image = pictures / f"{options.seed}-{item.variant.model}.jpg"
        if not image.exists():
            product_image(item, 0, fonts).save(image, "JPEG", quality=88)
        for number in range(options.texts):
            text = text_of(item, generator(options.seed, "line", at, number))
            labelled = replace(of_annotated([text], Counter())[0], image=image)
            side = "train" if place < TRAINED else "dev" if place == TRAINED else "test"
            sides[side].append((labelled, text, item.family.index))
    return sides


def shortened(folder: Path, layers: int, texts: Sequence[str]) -> Path:
    """The packaged MiniLM with its first layers and the word pieces of ``texts``: the rest costs time."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import AutoModel, AutoTokenizer, BertTokenizerFast

    if folder.exists():
        return folder
    source = found_folder(PACKAGED)
    full = AutoTokenizer.from_pretrained(source)
    kept = sorted({*full.all_special_ids, *(one for ids in full(texts)["input_ids"] for one in ids)})
    pieces = {piece: at for at, piece in enumerate(full.convert_ids_to_tokens(kept))}
    model = AutoModel.from_pretrained(source)
    model.encoder.layer = model.encoder.layer[:layers]
    model.embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(
        model.embeddings.word_embeddings.weight[kept], freeze=False
    )
    model.config.num_hidden_layers, model.config.vocab_size = layers, len(kept)
    model.save_pretrained(folder)
    raw = BertWordPieceTokenizer(vocab=pieces, lowercase=True)
    BertTokenizerFast(tokenizer_object=raw._tokenizer).save_pretrained(folder)
    return folder


def text_of(item: Item, rng: np.random.Generator) -> AnnotatedText:
    """A line about the product; an attribute of its category that the line does not state has no value."""
    family, variant = item
    own = {**family.fixed, **variant.values}
    usable = [key for key, value in own.items() if not is_ignored(value) and len(value) > 3]
    stated = [usable[int(at)] for at in rng.permutation(len(usable))[:VALUES]]
    colour = variant.colour.name
    others = [
        one.name for one in family.category.colours if one.name not in colour and colour not in one.name
    ]
    shown = [others[int(at)] for at in rng.permutation(len(others))[: COLOURS - 1]]
    shown.insert(int(rng.integers(COLOURS)), colour)
    text = f"{family.brand} {product_name(item)}: {', '.join(own[key] for key in stated)}; "
    text += f"{', '.join(shown[:-1])} or {shown[-1]}"
    values = {one.key: () for one in family.category.attributes}
    values |= {key: (own[key],) for key in stated}
    return AnnotatedText(text, family.category.name, {**values, "Brand": (family.brand,), COLOUR: (colour,)})


def looked_at(folder: Path) -> LoadRegions:
    """Opens an image network that is not trained any more: its maps lie in ``folder``, by the picture."""

    def load(name: str) -> RegionNetwork:
        import torch

        network = load_regions(name)
        folder.mkdir(parents=True, exist_ok=True)
        known: dict[str, Pixels] = {}

        def prepare(image: Any) -> Pixels:
            key = hashlib.sha256(image.tobytes()).hexdigest()[:24]
            path = folder / f"{key}.npy"
            if key not in known and path.exists():
                known[key] = np.load(path, allow_pickle=False).astype(np.float32)
            elif key not in known:
                with torch.inference_mode():
                    whole = network.network.eval()(torch.from_numpy(network.prepare(image))[None])[0]
                    found = torch.nn.functional.adaptive_avg_pool2d(whole, SIDE)
                np.save(path, found.numpy().astype(np.float16))
                known[key] = found.numpy().astype(np.float16).astype(np.float32)
            return known[key]

        revision = f"{network.revision} frozen, {SIDE} x {SIDE}"
        return RegionNetwork(network.name, revision, network.width, torch.nn.Identity(), prepare)

    return load


if __name__ == "__main__":
    main()

"""Reading photos: time and values of rapidocr by its own settings and of ours, by turns in one process.

    python benchmarks/ocr.py [DATASET ...] [--reviews 120] [--large 6] [--seed 31] [--enlarge 2 ...]

Beside the DATASETs stand a synthetic twin, whose photos carry brands and model numbers, and a smaller one
whose photos are enlarged to 1,600 pixels. Every 8 photos are read in each way, then the next 8: the plain way
takes one at a time, ours as many as there are threads. The candidates of a review are its gold product and up
to nine others of the category. A value is right when the gold product has it; findable are those printed on a
twin's photos, and in a DATASET those that any of the ways found. Prints Markdown: milliseconds a photo, and
F1 with its difference from the plain way, 95 % intervals over gold products.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ameli_llm.attributes._rapid import SIDE, RapidReader
from ameli_llm.attributes._readers import ImageTexts, Reader, TextBox, text_box
from ameli_llm.attributes.extractor import ExtractionTask
from ameli_llm.attributes.ocr import OcrExtractor
from ameli_llm.attributes.values.normalise import agreement, normalise, normalise_all
from ameli_llm.config import AttributesConfig
from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import load_dataset
from ameli_llm.dataset.synth import write_twin
from ameli_llm.dataset.synth.catalogue import load_catalogue
from ameli_llm.dataset.synth.layout import drafts, make_plan
from ameli_llm.flow import vocabulary
from ameli_llm.ids import EntityId
from ameli_llm.parallel import batched
from eval.measures.statistics import ClusteredBootstrap

PLAIN = "rapidocr's settings"
PRODUCTS, DIFFICULTY, LONG_SIDE = 100, 0.5, 1600
Printed = Mapping[int, set[str]]
"""Keys whose value is printed on the photos of a review, by its id."""


class Plain:
    """rapidocr as it comes, but for one thread a model, one photo at a time."""

    identity = "plain"

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        one = {"EngineConfig.onnxruntime.intra_op_num_threads": 1}
        self._engine = RapidOCR(params={"Global.log_level": "critical", **one})
        self._lock = threading.Lock()

    def read(self, image: Image.Image) -> list[TextBox]:
        """As ``RapidReader`` does."""
        with self._lock:
            found = self._engine(np.asarray(image)[:, :, ::-1])
        if found.txts is None:
            return []
        return [text_box(*one) for one in zip(found.txts, found.scores, found.boxes, strict=True)]


class Case(NamedTuple):
    """A review with photos, and its gold product."""

    task: ExtractionTask
    gold: EntityId
    attributes: Mapping[str, tuple[str, ...]]


def main() -> None:
    """A row for each way on each set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="*")
    parser.add_argument("--reviews", type=int, default=120, help="of the twin")
    parser.add_argument("--large", type=int, default=6, help="reviews of the twin with large photos")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument(
        "--enlarge",
        type=float,
        nargs="+",
        default=[AttributesConfig().ocr_enlarge],
        help="ocr_enlarge of ours",
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # rapidocr's
    print("| photos of | number | way | processor, ms | by the clock, ms | times plain, processor | clock |")
    print("|---|---:|---|---:|---:|---:|---:|", flush=True)
    scores: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, reviews, seed in (("twin", options.reviews, 0), ("twin, large", options.large, 1)):
            plan = (PRODUCTS, reviews, options.seed + seed)
            write_twin(work / name, products=plan[0], reviews=plan[1], seed=plan[2], difficulty=DIFFICULTY)
            if name != "twin":
                resize(work / name)
            scores += measured(name, work / name, work, printed(*plan), options.enlarge)
        for place in options.datasets:
            scores += measured(place.name, place, work, None, options.enlarge)
    print("\n| photos of | way | found | right | findable | precision % | F1 % | minus plain, points |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    print("\n".join(scores))


def measured(
    name: str, folder: Path, work: Path, known: Printed | None, enlarge: Sequence[float]
) -> list[str]:
    """Prints the rows of times of a dataset; returns those of its values."""
    readers: dict[str, Reader] = {PLAIN: Plain()}
    readers |= {f"ours, ocr_enlarge {times:g}": RapidReader(times) for times in (SIDE, *enlarge)}
    texts = {
        way: ImageTexts(lambda reader=reader: reader, work / "cache" / name / way)  # type: ignore[misc]
        for way, reader in readers.items()
    }
    data = load_dataset(folder)
    all_cases = cases(folder)
    images = (data.review_image(name) for case in all_cases for name in case.task.review.images)
    paths = list({path.read_bytes(): path for path in images if path is not None}.values())
    for reader in readers.values():
        reader.read(lettered())  # loads the models
    seconds = dict.fromkeys(texts, np.zeros(2))
    for number, few in enumerate(batched(paths, 8)):
        ways = list(texts)
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            start = np.array([time.process_time(), time.perf_counter()])
            texts[way].read(few)
            seconds[way] = seconds[way] + [time.process_time(), time.perf_counter()] - start
    for way, spent in seconds.items():
        each, gain = 1000 * spent / len(paths), seconds[PLAIN] / spent
        times = f"{each[0]:.0f} | {each[1]:.0f} | {gain[0]:.1f} | {gain[1]:.1f}"
        print(f"| {name} | {len(paths)} | {way} | {times} |", flush=True)
    found = {
        way: OcrExtractor(data.review_image, one).extract([case.task for case in all_cases])
        for way, one in texts.items()
    }
    return value_rows(
        name,
        all_cases,
        {way: [{(v.key, v.value) for v in one.values} for one in made] for way, made in found.items()},
        known,
    )


def lettered() -> Image.Image:
    """A word on white."""
    image = Image.new("RGB", (300, 100), "white")
    ImageDraw.Draw(image).text((40, 20), "Acme", fill="black", font=ImageFont.load_default(48))
    return image


def cases(folder: Path) -> list[Case]:
    """The reviews of all splits that have photos and a gold product in the KB, in order."""
    data = load_dataset(folder)
    attributes = {id_: attribute_dictionary(product) for id_, product in data.products.items()}
    chosen = np.random.default_rng(0)
    made = []
    for split in map(data.split, data.splits()):
        for review in split.reviews:
            gold = split.gold.get(review.id)
            if gold is None or not review.images:
                continue
            category = data.products[gold].category
            beside = [i for i, one in data.products.items() if one.category == category and i != gold]
            drawn = [beside[at] for at in chosen.permutation(len(beside))[:9]]
            offered = vocabulary([attributes[i] for i in (gold, *drawn)])
            made.append(Case(ExtractionTask(review, offered), gold, attributes[gold]))
    return made


def printed(products: int, reviews: int, seed: int) -> Printed:
    """What a twin's photos carry, by review."""
    catalogue = load_catalogue()
    plan = make_plan(catalogue, products, reviews, seed, DIFFICULTY)
    return {
        number: {"Brand" for photo in draft.photos if photo.brand}
        | {"Model Number" for photo in draft.photos if photo.model}
        for number, draft in enumerate(drafts(plan, catalogue), start=1)
    }


def resize(folder: Path) -> None:
    """Makes the review images of a twin as large as a telephone's."""
    for path in (*(folder / "review_images").iterdir(), *(folder / "cleaned_review_images").iterdir()):
        with Image.open(path) as image:
            times = LONG_SIDE / max(image.size)
            large = image.resize((round(image.width * times), round(image.height * times)))
        large.save(path, quality=90)


def value_rows(
    name: str,
    all_cases: Sequence[Case],
    found: Mapping[str, Sequence[set[tuple[str, str]]]],
    known: Printed | None,
) -> list[str]:
    """A row for each way: found, right and findable values, and F1 beside the plain way's."""
    right = {
        way: [{one for one in made[at] if is_right(one, case)} for at, case in enumerate(all_cases)]
        for way, made in found.items()
    }
    if known is None:
        findable = [len(set().union(*kept)) for kept in zip(*right.values(), strict=True)]
    else:
        findable = [len(known[int(case.task.review.id)] & case.attributes.keys()) for case in all_cases]
    bootstrap = ClusteredBootstrap([case.gold for case in all_cases])
    ratios = {
        way: (
            2 * np.array([len(kept) for kept in right[way]]),
            np.array([len(values) for values in made]) + findable,
        )
        for way, made in found.items()
    }
    rows = []
    for way, made in found.items():
        said, hits = sum(map(len, made)), sum(map(len, right[way]))
        f1 = bootstrap.ratio(*ratios[way])
        shown = f"{100 * f1.value:.1f} [{100 * f1.low:.1f}, {100 * f1.high:.1f}]" if sum(findable) else "-"
        apart = bootstrap.difference(ratios[PLAIN], ratios[way]).percent()
        share = f"{100 * hits / said:.1f}" if said else "-"
        rows.append(f"| {name} | {way} | {said} | {hits} | {sum(findable)} | {share} | {shown} | {apart} |")
    return rows


def is_right(value: tuple[str, str], case: Case) -> bool:
    """Whether the gold product has it."""
    key, said = value
    level = agreement(normalise(key, said), normalise_all(key, case.attributes.get(key, ())))
    return bool(level and level > 0)


if __name__ == "__main__":
    main()

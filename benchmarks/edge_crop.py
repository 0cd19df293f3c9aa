"""How well the cropper "edges" finds what a photo shows, on synthetic photos whose object's place is known.

    python benchmarks/edge_crop.py [--reviews 200] [--seed 11]

Intersection over union with the object's box, and the share of the object that the crop keeps; beside it the
whole photo. Synthetic photos are not shoppers': the figures say whether the cropper does anything at all.
"""

from __future__ import annotations

import argparse
from statistics import fmean

from ameli_llm.dataset.construction.croppers import open_cropper
from ameli_llm.dataset.construction.croppers.cropper import Box
from ameli_llm.dataset.synth.canvas import Fonts
from ameli_llm.dataset.synth.catalogue import load_catalogue
from ameli_llm.dataset.synth.layout import drafts, make_plan
from ameli_llm.dataset.synth.photos import review_photo
from ameli_llm.dataset.synth.products import generator

DIFFICULTY = 0.5


def main() -> None:
    """Prints a line for the crop and one for the whole photo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    catalogue, fonts, cropper = load_catalogue(), Fonts(), open_cropper("edges")
    assert cropper is not None
    plan = make_plan(catalogue, 60, options.reviews, options.seed, DIFFICULTY)
    found: dict[str, list[tuple[float, float]]] = {"edges": [], "whole photo": []}
    missed = 0
    for number, draft in enumerate(drafts(plan, catalogue), start=1):
        for place, photo in enumerate(draft.photos):
            chance = generator(plan.seed, "photo", number, place)
            picture, box = review_photo(draft.item, photo, chance, DIFFICULTY, fonts)
            crop = cropper.box(picture, "")
            found["whole photo"].append(overlap((0, 0, *picture.size), box))
            if crop is None:
                missed += 1
            else:
                found["edges"].append(overlap(crop, box))
    print(f"{'crop':12} {'photos':>7} {'IoU':>6} {'object kept':>12}")
    for name, pairs in found.items():
        iou, kept = (fmean(values) for values in zip(*pairs, strict=True))
        print(f"{name:12} {len(pairs):>7} {iou:>6.2f} {kept:>12.2f}")
    print(f"no crop: {missed} photos")


def overlap(crop: Box, truth: Box) -> tuple[float, float]:
    """Intersection over union, and the share of the true box that the crop has."""
    across = max(0.0, min(crop[2], truth[2]) - max(crop[0], truth[0]))
    down = max(0.0, min(crop[3], truth[3]) - max(crop[1], truth[1]))
    both = across * down
    return both / (area(crop) + area(truth) - both), both / area(truth)


def area(box: Box) -> float:
    """Of a box in square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


if __name__ == "__main__":
    main()

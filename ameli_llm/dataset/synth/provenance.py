"""What a review gives away about its product, by channel; for tests and statistics, never written to files.

At difficulty 0.5, of the reviews whose product is in the KB: 60 % state in words a value that rules out a
sibling (45 % one besides colour, such as memory), 50 to 55 % show a colour that does, and 30 % show the
model number in a photo, of which rapidocr reads about 75 %. The channels overlap. All of them together leave
one variant in 70 % of the reviews, so that no method can be right on every review; without the text's
words it is 47 %, without the colour 51 %, without the printed model number 57 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ameli_llm.dataset.synth.products import COLOUR, Variant
from ameli_llm.dataset.synth.reviews import Draft

CHANNELS = ("text", "colour", "print")


def survivors(draft: Draft, channels: Iterable[str]) -> int:
    """How many KB variants of the product's family fit what the channels say: "text", "colour", "print"."""
    family, gold = draft.item
    channels = set(channels)
    said, photos = draft.provenance, draft.photos
    if ("text" in channels and said.model) or ("print" in channels and any(p.model for p in photos)):
        return 1
    axes: set[str] = set()
    denied: dict[str, str] = {}
    if "text" in channels:
        axes |= said.stated.keys()
        denied = said.denied
    if "colour" in channels and any(p.kind == "clear" for p in photos):
        axes.add(COLOUR)

    def fits(variant: Variant) -> bool:
        agrees = all(variant.value(axis) == gold.value(axis) for axis in axes)
        return agrees and all(variant.value(axis) != value for axis, value in denied.items())

    return sum(fits(variant) for variant in family.variants)


@dataclass(frozen=True)
class Shares:
    """Shares of reviews, 0 to 1. A channel "narrows" when it rules out at least one sibling.

    ``solvable`` counts reviews in which all channels leave exactly one variant, ``without`` the same when one
    channel is taken away.
    """

    narrows: dict[str, float]
    solvable: float
    without: dict[str, float]


def shares(drafts: Iterable[Draft]) -> Shares:
    """The shares over reviews whose product is in the KB (others have no right variant there)."""
    known = [d for d in drafts if d.item.variant in d.item.family.variants]

    def share(flags: Iterable[bool]) -> float:
        return sum(flags) / max(len(known), 1)

    return Shares(
        narrows={
            name: share(survivors(d, (name,)) < len(d.item.family.variants) for d in known)
            for name in CHANNELS
        },
        solvable=share(survivors(d, CHANNELS) == 1 for d in known),
        without={
            name: share(survivors(d, [c for c in CHANNELS if c != name]) == 1 for d in known)
            for name in CHANNELS
        },
    )

"""What disks, cables and copies do to files: bytes changed, lost or in another place, drawn by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

Damage = tuple[str, bytes]
"""What was done, and the content after it."""


def _flip(content: bytearray, draw: random.Random) -> str:
    places = [draw.randrange(len(content)) for _ in range(draw.choice((1, 1, 1, 2, 8)))]
    for place in places:
        content[place] ^= 1 << draw.randrange(8)
    return f"bits flipped at {places}"


def _overwrite(content: bytearray, draw: random.Random) -> str:
    place, length = draw.randrange(len(content)), draw.choice((1, 4, 64, 512))
    content[place : place + length] = draw.randbytes(len(content[place : place + length]))
    return f"{length} random bytes at {place}"


def _blank(content: bytearray, draw: random.Random) -> str:
    place, length = draw.randrange(len(content)), draw.choice((4, 512, 4096))
    content[place : place + length] = bytes(len(content[place : place + length]))
    return f"{length} zeros at {place}"


def _cut(content: bytearray, draw: random.Random) -> str:
    place = draw.randrange(len(content))
    del content[place:]
    return f"cut at {place}"


def _lose(content: bytearray, draw: random.Random) -> str:
    place, length = draw.randrange(len(content)), draw.choice((1, 16, 512))
    del content[place : place + length]
    return f"{length} bytes lost at {place}"


def _swap(content: bytearray, draw: random.Random) -> str:
    size = draw.choice((64, 512, 4096))
    one, other = (draw.randrange(max(len(content) // size, 1)) * size for _ in range(2))
    first, second = content[one : one + size], content[other : other + size]
    content[one : one + size], content[other : other + size] = second, first
    return f"blocks of {size} at {one} and {other} swapped"


def _grow(content: bytearray, draw: random.Random) -> str:
    content += draw.randbytes(draw.choice((1, 100, 4096)))
    return "bytes at the end"


# Flips are what is hardest to notice, so half of all are flips.
KINDS: tuple[Callable[[bytearray, random.Random], str], ...] = (
    *(_flip,) * 6,
    *(_overwrite, _blank, _cut, _lose, _swap, _grow),
)


def damaged(content: bytes, draw: random.Random) -> Damage:
    """The content, which has at least one byte, after one damage that changes it."""
    while True:
        changed = bytearray(content)
        what = draw.choice(KINDS)(changed, draw)
        if changed != content:
            return what, bytes(changed)

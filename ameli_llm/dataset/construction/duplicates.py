"""Near-duplicate reviews: products whose reviews share texts or photos go into one split (section 3.5).

Texts are alike when enough of their word shingles are the same: candidates come from bands of MinHash
signatures, and every pair is then compared for real. Photos are alike when few bits of their perceptual
hashes differ. Bands lie on disk: the memory needed does not grow with the number of reviews.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from ameli_llm.dataset.construction.kept import Member
from ameli_llm.dataset.construction.raw import RawReview, RawTables
from ameli_llm.dataset.construction.settings import Split
from ameli_llm.dataset.construction.steps import Judged, sweep
from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.pictures import Pictures
from ameli_llm.errors import MissingPackageError
from ameli_llm.types import Progress

BANDS, ROWS = 16, 4
"""Bands of a signature and numbers in each: 99.98 % of pairs of similarity 0.8 share one, 64 % of 0.5."""
TEXT, IMAGE = "text", "image"
MOST_KINDS = 8
"""Different texts or photos of one bucket that the others in it are compared with."""

_NOWHERE = Path("nowhere")
_WORD = re.compile(r"\w+")
_FLAT = 4
"""Hashes with fewer bits set, or unset, are of pictures without content."""


def find_bands(
    step: str,
    store: BuildStore,
    tables: RawTables,
    settings: Split,
    seed: int,
    batch: int,
    progress: Progress,
) -> None:
    """Puts every review into the buckets of its text and of its photos; goes on where it was killed.

    Raises MissingPackageError without datasketch or ImageHash.
    """
    pictures = Pictures(_NOWHERE, ("", "review_images"))

    def work(reviews: list[RawReview]) -> list[Judged]:
        texts = [shingles(review.text, settings) for review in reviews]
        told = [number for number, text in enumerate(texts) if text]
        for number, bands in zip(told, _text_bands([texts[n] for n in told], seed), strict=True):
            for band, value in enumerate(bands):
                store.add_band(TEXT, band, value, reviews[number].position)
        for review in reviews:
            folders = tables.folders("reviews", review.table)
            for whole in _hashes(review, pictures, folders):
                for band, value in enumerate(_parts(whole)):
                    store.add_band(IMAGE, band, value, review.position, whole - (1 << 63))
        return [Judged(review) for review in reviews]

    sweep(step, store, batch, progress, work)


def join_products(step: str, store: BuildStore, settings: Split) -> None:
    """Joins products that share a near-duplicate review; does nothing where that has been done."""
    if store.standing(step)[1]:
        return
    alike = _Alike(store, settings)
    groups = Groups()
    with store.batch():
        for kind, bucket in store.buckets():
            kinds: list[Member] = []
            for one in bucket:
                others = [k for k in kinds if groups.of(k.product) != groups.of(one.product)]
                other = next((k for k in others if alike(kind, one, k)), None)
                if other is not None:
                    groups.join(one.product, other.product)
                    store.join(one.product, other.product)
                    _note(store, step, kind, one, other)
                elif len(kinds) < MOST_KINDS:
                    kinds.append(one)
                elif others:
                    reason = f"{kind} was compared with {MOST_KINDS} of those that share a band with it"
                    store.count(step, f"{kind} noted", reason, store.review_at(one.position).place)
        store.advance(step, 1, finished=True)


def _note(store: BuildStore, step: str, kind: str, one: Member, other: Member) -> None:
    reviews = [store.review_at(member.position) for member in (other, one)]
    places = " and ".join(review.place for review in reviews)
    reason = f"{kind} is nearly the same in reviews of two products, which go into one split"
    store.count(step, f"{kind} noted", reason, places, reviews[1].text)


class Groups:
    """Things that have to stay together: each group is named by its least member."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def of(self, one: int) -> int:
        """The name of a thing's group."""
        top = one
        while (above := self._above.get(top, top)) != top:
            top = above
        while (above := self._above.get(one, one)) != top:
            self._above[one], one = top, above
        return top

    def join(self, one: int, other: int) -> bool:
        """Makes one group of two; False when they were one before."""
        first, second = sorted((self.of(one), self.of(other)))
        if first == second:
            return False
        self._above[second] = first
        return True


class _Alike:
    """Whether the texts or photos of two reviews are nearly the same."""

    def __init__(self, store: BuildStore, settings: Split) -> None:
        self._settings = settings
        self._shingles = lru_cache(256)(lambda position: shingles(store.review_at(position).text, settings))

    def __call__(self, kind: str, one: Member, other: Member) -> bool:
        if kind == IMAGE:
            return _bits(one.whole ^ other.whole) <= self._settings.near_image
        first, second = self._shingles(one.position), self._shingles(other.position)
        return len(first & second) >= self._settings.near_text * len(first | second)


def _bits(number: int) -> int:
    """Bits set in a number of 64 bits, whatever its sign."""
    return (number & ((1 << 64) - 1)).bit_count()


def shingles(text: str, settings: Split) -> frozenset[bytes]:
    """The word n-grams of a text, none of one that is too short to be a duplicate but by chance."""
    words = _WORD.findall(text.casefold())
    if len(words) < max(settings.fewest_words, settings.shingle):
        return frozenset()
    starts = range(len(words) - settings.shingle + 1)
    return frozenset(" ".join(words[n : n + settings.shingle]).encode() for n in starts)


def _text_bands(texts: Sequence[frozenset[bytes]], seed: int) -> list[list[int]]:
    """For each text a number a band, equal where the band of its MinHash signature is."""
    if not texts:
        return []
    try:
        from datasketch import MinHash
    except ImportError as error:
        raise MissingPackageError("datasketch", "build") from error
    ordered = [sorted(text) for text in texts]
    signatures = MinHash.bulk(ordered, num_perm=BANDS * ROWS, seed=seed % (1 << 32))
    found = []
    for signature in signatures:
        bands = signature.hashvalues.reshape(BANDS, ROWS)
        digests = (blake2b(band.astype("<u8").tobytes(), digest_size=8).digest() for band in bands)
        found.append([int.from_bytes(digest, "little", signed=True) for digest in digests])
    return found


def _hashes(review: RawReview, pictures: Pictures, folders: Sequence[Path]) -> list[int]:
    """The perceptual hashes of a review's photos that show anything."""
    if not review.images:
        return []
    try:
        from imagehash import phash
    except ImportError as error:
        raise MissingPackageError("ImageHash", "build") from error
    found = set()
    for path in review.images:
        try:
            photo = open_image(pictures.find(path, folders))
        except (ImageProblem, LeftOutError):  # counted by the rule "readable_images", if it is on
            continue
        whole = int(str(phash(photo)), 16)
        if _FLAT <= whole.bit_count() <= 64 - _FLAT:
            found.add(whole)
    return sorted(found)


def _parts(whole: int) -> list[int]:
    """The four parts of a perceptual hash, one of which is equal where up to three bits differ."""
    return [whole >> (16 * part) & 0xFFFF for part in range(4)]

"""The order of equal scores: by chance, the same on every machine, and blind to numbering and input order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ameli_llm.ids import EntityId, ReviewId


def chance(*ids: EntityId | ReviewId) -> int:
    """A number that is as good as random, and fixed for these ids: the smaller one comes first.

    For a review and a product, or for a product alone. Neither the order of candidates nor the size or
    spelling of their ids says anything about it, so a scorer without a preference comes out at chance.
    """
    text = " ".join(map(str, ids))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def ranked(review_id: ReviewId, entity_ids: Sequence[EntityId], scores: Sequence[float]) -> list[int]:
    """Positions of the candidates, greatest score first, equal scores by ``chance``."""
    positions = sorted(range(len(scores)), key=lambda i: -scores[i])
    if len(set(scores)) == len(scores):
        return positions
    return sorted(positions, key=lambda i: (-scores[i], chance(review_id, entity_ids[i])))

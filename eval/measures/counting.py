"""How reviews are counted into scores: the honest way, and that of the official AMELI code.

- end-to-end F1: all reviews with gold. Micro-F1 over links: precision is right links by links, recall is
  right links by reviews whose product is in the KB. It equals accuracy when every review is linked and every
  product is in the KB. A link for a review whose product is not in the KB costs precision; abstained, nil and
  failed reviews are misses.
- disambiguation F1: the same, over the reviews whose product is among the first K candidates (AMELI v1,
  section 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ameli_llm.types import State
from eval.measures.judged import Judged, product_bootstrap
from eval.measures.statistics import ClusteredBootstrap, Interval

Parts: TypeAlias = tuple[list[int], list[int]]
"""Numerators and denominators of a score, an element per review."""


@dataclass(frozen=True)
class Protocol:
    """How the scores were counted.

    ``official`` counts as the official AMELI code does: the last incomplete batch (in order of review id) is
    dropped, the best candidate is the answer whatever the state, and F1 is accuracy over candidate positions.
    ``reproduced`` names the leaks of that code that the scores have (``eval.official.leaks``),
    ``not_reproduced`` the others with the reason; both are empty for the honest protocol, which has none.
    """

    name: str = "honest"
    batch_size: int | None = None
    reviews_dropped: int = 0
    reproduced: tuple[str, ...] = ()
    not_reproduced: tuple[str, ...] = ()

    @classmethod
    def shared(cls, protocols: Sequence[Protocol]) -> Protocol:
        """What several runs of one protocol have in common: leaks of training are those of single runs."""
        first, *others = protocols
        reproduced = [one for one in first.reproduced if all(one in p.reproduced for p in others)]
        missing = [one for one in first.not_reproduced if all(one in p.not_reproduced for p in others)]
        return replace(first, reproduced=tuple(reproduced), not_reproduced=tuple(missing))


@dataclass(frozen=True)
class Counted:
    """The reviews that scores are counted on, by review id, and the protocol of counting."""

    judged: Sequence[Judged]
    bootstrap: ClusteredBootstrap
    protocol: Protocol = Protocol()

    @classmethod
    def official(
        cls,
        judged: Sequence[Judged],
        batch_size: int,
        reproduced: tuple[str, ...],
        not_reproduced: tuple[str, ...],
    ) -> Counted:
        """As the official code counts with that batch size (``Protocol``)."""
        dropped = len(judged) % batch_size
        kept = [answered(one) for one in judged[: len(judged) - dropped]]
        protocol = Protocol("official", batch_size, dropped, reproduced, not_reproduced)
        return cls(kept, product_bootstrap(kept), protocol)

    def f1(self, measured: Sequence[bool] | None = None) -> Interval:
        """Micro-F1 of the ``measured`` reviews (None: all); by the official protocol their accuracy."""
        if not self.protocol.batch_size:
            return f1(self.bootstrap, self.judged, measured)
        chosen = [True] * len(self.judged) if measured is None else measured
        hits = [one.hit and use for one, use in zip(self.judged, chosen, strict=True)]
        return self.bootstrap.ratio(hits, chosen)


def f1_parts(judged: Sequence[Judged], measured: Sequence[bool] | None = None) -> Parts:
    """Micro-F1 as a ratio of sums: 2 x right links over links plus reviews whose product is in the KB.

    ``measured`` picks the reviews that count; the others get 0 and 0.
    """
    chosen = [True] * len(judged) if measured is None else measured
    top = [2 * one.hit if use else 0 for one, use in zip(judged, chosen, strict=True)]
    bottom = [one.linked + one.in_kb if use else 0 for one, use in zip(judged, chosen, strict=True)]
    return top, bottom


def f1(
    bootstrap: ClusteredBootstrap, judged: Sequence[Judged], measured: Sequence[bool] | None = None
) -> Interval:
    """Micro-F1 of the ``measured`` reviews; ``n`` counts all of them."""
    score = bootstrap.ratio(*f1_parts(judged, measured))
    return replace(score, n=len(judged) if measured is None else sum(measured)) if score.n else score


def answered(one: Judged) -> Judged:
    """The review with its best candidate as the answer, whatever its state."""
    if not one.row.candidates:
        return one
    best = one.row.candidates[0].entity_id
    return Judged(one.row.model_copy(update={"state": State.LINKED, "entity_id": best}), one.gold)

"""What an import leaves out, counted by reason, with the first places where it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

What = Literal["row", "product", "review", "attribute", "image", "character"]
"""What can be left out; a row is one that could not even be read."""

_ORDER: tuple[What, ...] = get_args(What)
_PLACES = 3


@dataclass(frozen=True)
class Loss:
    """So many things of one kind that were left out for one reason, with the places of the first."""

    what: What
    reason: str
    count: int
    places: tuple[str, ...]


@dataclass
class Losses:
    """Counts losses as they happen."""

    _found: dict[tuple[What, str], tuple[int, list[str]]] = field(default_factory=dict)

    def add(self, what: What, reason: str, place: str) -> None:
        """One more thing left out; ``place`` is where it stood."""
        count, places = self._found.get((what, reason), (0, []))
        if len(places) < _PLACES:
            places.append(place)
        self._found[what, reason] = count + 1, places

    def all(self) -> tuple[Loss, ...]:
        """Everything that was left out: whole rows before parts of them, most frequent reason first."""
        losses = [Loss(what, why, n, tuple(where)) for (what, why), (n, where) in self._found.items()]
        return tuple(sorted(losses, key=lambda loss: (_ORDER.index(loss.what), -loss.count)))


class LeftOutError(ValueError):
    """A row or a part of it that cannot be used; the text is the reason, the same for all like it."""

"""What an import leaves out, counted by reason, with the first places where it happened."""

from __future__ import annotations

from dataclasses import dataclass, field

_PLACES = 3


@dataclass(frozen=True)
class Loss:
    """So many things of one kind ("row", "image", "attribute") that were left out for one reason."""

    what: str
    reason: str
    count: int
    places: tuple[str, ...]


@dataclass
class Losses:
    """Counts losses as they happen."""

    _found: dict[tuple[str, str], tuple[int, list[str]]] = field(default_factory=dict)

    def add(self, what: str, reason: str, place: str) -> None:
        """One more thing left out; ``place`` is where it stood."""
        count, places = self._found.get((what, reason), (0, []))
        if len(places) < _PLACES:
            places.append(place)
        self._found[what, reason] = count + 1, places

    def all(self) -> tuple[Loss, ...]:
        """Everything that was left out: by kind in the order met, most frequent reason first."""
        kinds = list(dict.fromkeys(what for what, _ in self._found))
        losses = [Loss(what, why, n, tuple(where)) for (what, why), (n, where) in self._found.items()]
        return tuple(sorted(losses, key=lambda loss: (kinds.index(loss.what), -loss.count)))


class LeftOutError(ValueError):
    """A row or a part of it that cannot be used; the text is the reason, the same for all like it."""

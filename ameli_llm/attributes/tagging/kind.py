"""One kind of trained extractor: its name, its settings, and how its network is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ameli_llm.attributes.tagging.settings import TaggerSettings

if TYPE_CHECKING:
    from ameli_llm.attributes.tagging.tagger import Tagger


def no_shares(settings: Any) -> Mapping[str, float]:
    """Every weight has the whole learning rate."""
    return {}


@dataclass(frozen=True)
class Kind:
    """``build(settings, attribute names, text encoder, image network or None, cutter)`` makes the network.

    ``name`` is the extractor's, and the ``source`` of its values; ``title`` tells settings apart as papers
    do. ``shares`` names the parts of the network that learn at a part of the learning rate.
    """

    name: str
    settings: type[TaggerSettings]
    build: Callable[..., Tagger]
    title: Callable[[Any], str]
    shares: Callable[[Any], Mapping[str, float]] = field(default=no_shares)

    @property
    def command(self) -> str:
        """What trains it."""
        return f"ameli-llm train {self.name.replace('_', '-')} DATA --out DIR"

"""What a build compares texts and images with; implementations are given to it from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.images import ImageProblem

Vectors: TypeAlias = npt.NDArray[np.float32]


class TextVectors(Protocol):
    """Turns texts into vectors of length 1."""

    @property
    def name(self) -> str:
        """The encoder's name."""

    @property
    def model(self) -> str:
        """The model in it."""

    @property
    def revision(self) -> str:
        """Identifies its weights."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n, d] in the order of the texts."""


class ImageVectors(Protocol):
    """Turns image files into vectors of length 1."""

    @property
    def name(self) -> str:
        """The encoder's name."""

    @property
    def model(self) -> str:
        """The model in it."""

    @property
    def revision(self) -> str:
        """Identifies its weights."""

    def encode_images(self, paths: Sequence[Path]) -> list[Vectors | ImageProblem]:
        """A vector [d], or the reason why there is none, per path."""


class PairScores(Protocol):
    """Scores two texts together."""

    @property
    def name(self) -> str:
        """The model's name."""

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """A score from 0 to 1 per pair, in their order."""


class Chunk(Protocol):
    """A noun chunk in lower case: as written, and with its head word in the singular."""

    @property
    def surface(self) -> str:
        """As written."""

    @property
    def lemma(self) -> str:
        """With its last word in the singular."""


class Chunker(Protocol):
    """Finds noun chunks of titles and category names."""

    @property
    def name(self) -> str:
        """What finds them."""

    def chunks(self, text: str) -> Sequence[Chunk]:
        """Chunks in the order of the text."""

    def lemma(self, mention: str) -> str:
        """The words in lower case, the last of them in the singular."""


@dataclass(frozen=True)
class Tools:
    """Everything that a build asks from above; None where it does without."""

    chunker: Chunker
    text: TextVectors | None = None
    image: ImageVectors | None = None
    cross_encoder: PairScores | None = None

    @property
    def names(self) -> dict[str, str]:
        """What is at work with the revision of its weights, by what it does."""
        found = {"chunker": self.chunker.name}
        for what, encoder in (("text", self.text), ("image", self.image)):
            if encoder is not None:
                name = f"{encoder.name}:{encoder.model}" if encoder.model else encoder.name
                found[what] = f"{name} ({encoder.revision})"
        return found | ({"cross_encoder": self.cross_encoder.name} if self.cross_encoder else {})


def text_scores(tools: Tools, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The similarity of each pair: the cross-encoder's score where there is one, else the cosine.

    Every distinct text is encoded once. There must be one of the two.
    """
    if not pairs:
        return []
    if tools.cross_encoder is not None:
        return tools.cross_encoder.scores(pairs)
    return cosines(tools, pairs)


def cosines(tools: Tools, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The cosine of each pair under the text encoder, which must be there."""
    assert tools.text is not None
    if not pairs:
        return []
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    place = {text: number for number, text in enumerate(texts)}
    vectors = tools.text.encode(texts)
    left = vectors[[place[a] for a, _ in pairs]]
    right = vectors[[place[b] for _, b in pairs]]
    return [float(score) for score in np.einsum("ij,ij->i", left, right)]

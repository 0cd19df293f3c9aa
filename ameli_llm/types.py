"""The domain: frozen values that pass between dataset, retrieval, attributes, comparison and fusion.

Gold is in none of them: it lives in ``Split.gold`` and is read by evaluation and tuning only, so that no
stage of the pipeline can see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

from ameli_llm.ids import EntityId, ReviewId

if TYPE_CHECKING:
    from ameli_llm.engines.engine import Exchange


class State(StrEnum):
    """How a review ended; every review ends in exactly one."""

    LINKED = "linked"
    NIL = "nil"
    ABSTAINED = "abstained"
    INVALID_OUTPUT = "invalid_output"
    ENGINE_ERROR = "engine_error"


@dataclass(frozen=True, slots=True)
class SpecRow:
    """One line of a product page's specification table, as scraped."""

    section: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Product:
    """An entity of the knowledge base. ``category`` is the path from the shop's root to the leaf."""

    id: EntityId
    name: str
    category: tuple[str, ...] = ()
    description: str = ""
    features: tuple[str, ...] = ()
    spec: tuple[SpecRow, ...] = ()
    images: tuple[str, ...] = ()

    @property
    def leaf_category(self) -> str:
        """The last element of the category path, "" when the product has none."""
        return self.category[-1] if self.category else ""


@dataclass(frozen=True, slots=True)
class Review:
    """A review with its product mention, and without its gold product.

    ``images`` are bare file names in the dataset's folders; a review that stands in no dataset has absolute
    paths (``dataset.objects.read_review``). ``slices`` names subsets the review belongs to (any extra field
    of the record that is ``true``), for scores by slice only.
    """

    id: ReviewId
    header: str = ""
    body: str = ""
    mention: str = ""
    images: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Header, period, body: the query text of the official AMELI code."""
        return ". ".join(part for part in (self.header.strip(), self.body.strip()) if part)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a value stands: a span of a text field, or a box of an image.

    ``field`` is "header", "body", "mention" or "image". ``start`` and ``end`` are character offsets into
    the field (for an image: into the recognised string). ``box`` is (left, top, right, bottom) in pixels
    of ``image``; ``confidence`` is the recogniser's, 0 to 1.
    """

    field: str
    start: int
    end: int
    text: str
    image: str | None = None
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """An attribute value that a review states, with the place that proves it.

    ``value`` is a raw value of the candidates' vocabulary for ``key``. ``negated`` marks a value that the
    review denies ("not the red one", "I wanted the 512 but got the 1tb"). ``source`` is the extractor that
    found it, ``also`` names the others that say the same.
    """

    key: str
    value: str
    source: str
    evidence: Evidence
    negated: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the model calls made for one review."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a stage gave no usable result: ``state`` is INVALID_OUTPUT or ENGINE_ERROR."""

    state: State
    message: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that retrieval proposes for a review.

    ``score`` is the fused retrieval score by which candidates are ranked; ``scores`` holds each
    retriever's own score ("bm25", "sbert", "image", ...); a retriever that has no opinion (no image, say)
    is absent from it.
    """

    entity_id: EntityId
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)


VerdictName: TypeAlias = Literal["agree", "conflict", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one stated attribute says about one product, and where it is stated.

    The key "name" is of what the product's name says without an attribute. "agree" includes a shade of the
    same base colour. "unknown": the product lacks the key, or has values that cannot be compared.
    """

    key: str
    verdict: VerdictName
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A candidate of a linked review; ``score`` ranks.

    Beyond the first K candidates nothing was compared: ``text_score`` and ``image_score`` are None there.
    ``image_score`` is how far the product's pictures stand out from those of all products, in standard
    deviations of their cosines with the photos; ``scores`` holds each retriever's own score, ``text_scores``
    each comparator's, of which ``text_score`` is the weighted sum.
    """

    entity_id: EntityId
    retrieval_score: float
    text_score: float | None
    image_score: float | None
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)
    text_scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """What a review was linked to, and everything that led to it.

    ``entity_id`` is the product where ``state`` is LINKED, else None. ``confidence`` (0 to 1) is that of the
    best candidate, None where a stage failed; ``error`` says why then. ``candidates`` are best first by
    ``score``, the first ``compared`` of them compared. ``verdicts`` are of the best candidate, one for each
    place that states an attribute, or something that candidates have in their names. ``kb_probability``: of
    the right product being in the knowledge base at all. ``none_score``: the comparator's score for "none of
    these". ``flips`` counts the ``orders`` of candidates in which the first choice was another than on
    average. ``dropped`` counts discarded attribute values by reason; ``stage_seconds`` add up to
    ``seconds``. ``exchanges`` are the requests to a
    model, each with its reply, in the order in which they were sent.
    """

    review_id: ReviewId
    state: State
    entity_id: EntityId | None = None
    confidence: float | None = None
    candidates: tuple[RankedCandidate, ...] = ()
    attributes: tuple[AttributeValue, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    error: str | None = None
    compared: int = 0
    kb_probability: float | None = None
    none_score: float | None = None
    orders: int = 1
    flips: int = 0
    usage: Usage = Usage()
    dropped: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    exchanges: tuple[Exchange, ...] = field(default=(), repr=False)

    @property
    def best(self) -> RankedCandidate | None:
        """The first candidate, whatever the state; None when there are no candidates."""
        return self.candidates[0] if self.candidates else None

    @property
    def runner_up(self) -> RankedCandidate | None:
        """The second candidate, None when there are fewer than two."""
        return self.candidates[1] if len(self.candidates) > 1 else None


Attributes: TypeAlias = Mapping[str, tuple[str, ...]]
"""Attribute dictionary of a product: key to raw values (``ameli_llm.dataset.attributes``)."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def no_progress(stage: str, done: int, total: int) -> None:
    """The progress that nobody watches."""


Vocabulary: TypeAlias = Mapping[str, tuple[str, ...]]
"""Attribute keys and the raw values that occur among a review's candidates, never derived from gold."""

"""What the list of reviews needs at once, and what a card needs when it is opened, as parts of the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ameli_llm.errors import AmeliError
from ameli_llm.ids import MAX_LENGTH, ReviewId
from ameli_llm.prompting.exchanges import as_text
from ameli_llm.transcripts import read_transcript
from eval.measures.error_budget import CAUSES
from eval.report.cards import Card, CardMaker, rounded
from eval.report.payload import CHUNK, PICTURES, element, packed
from eval.report.rows import Row
from eval.report.sides import Side
from eval.report.text import LONGEST_VALUE, shown

if TYPE_CHECKING:
    from markupsafe import Markup

Item = TypeVar("Item")

LONGEST_TRANSCRIPT = 12_000
"""Characters of a review's prompts and replies that are shown."""

MOST_TRANSCRIPTS = 8 << 20
"""Bytes of all prompts and replies in the page; reviews that come later have none."""

SNIPPET = 160
"""Characters of a review in the list."""


@dataclass(frozen=True)
class Contents:
    """The reviews of a report as elements of the page."""

    sides: Sequence[Side]
    rows: Sequence[Row]
    maker: CardMaker
    most_transcripts: int = MOST_TRANSCRIPTS

    def elements(self) -> Iterator[Markup]:
        """The list, the cards in parts, what the search looks at, prompts and replies, photos."""
        left = self.most_transcripts
        lines: list[dict[str, Any]] = []
        searched: list[str] = []
        slices = _Numbers()
        transcribed = 0
        for number, rows in enumerate(_parts(self.rows, CHUNK)):
            cards = [self.maker.card(row) for row in rows]
            yield element(f"cards-{number}", packed(cards))
            lines += (self._line(row, slices) for row in rows)
            searched += map(self._searched, rows, cards)
            if left > 0:
                texts = [[_transcript(side, row) for side in self.sides] for row in rows]
                content = packed(texts) if any(map(any, texts)) else ""
                left, transcribed = left - len(content), number + 1
                if content:
                    yield element(f"transcripts-{number}", content)
        yield element("searched", packed(searched))
        for number, pictures in enumerate(_parts(self.maker.photos.content, PICTURES)):
            yield element(f"photos-{number}", pictures)
        index = {
            "runs": [{"letter": side.letter, "name": shown(side.name, LONGEST_VALUE)} for side in self.sides],
            "causes": {cause: cause.replace("_", " ") for cause in CAUSES},
            "slices": slices.names,
            "chunk": CHUNK,
            "pictures": PICTURES,
            "transcribed": transcribed,
            "reviews": lines,
        }
        yield element("index", index)

    def _line(self, row: Row, slices: _Numbers) -> dict[str, Any]:
        text = self.maker.text(row.review_id)
        snippet = f"{text.get('header') or ''} {text.get('body') or ''}".strip()
        return {
            "id": _id(row.review_id),
            "mention": shown(str(text.get("mention") or ""), LONGEST_VALUE),
            "snippet": shown(snippet, SNIPPET),
            "category": shown(row.known.gold.category, LONGEST_VALUE),
            "slices": [slices.number(shown(name, LONGEST_VALUE)) for name in row.known.gold.slices],
            "runs": [
                one and [outcome, side.cause(one), one.row.state.value, rounded(one.row.confidence)]
                for side, one, outcome in zip(self.sides, row.runs, row.outcomes, strict=True)
            ],
        }

    def _searched(self, row: Row, card: Card) -> str:
        """All that the search finds a review by, in lower case."""
        mention = self.maker.text(row.review_id).get("mention")
        pieces = (piece.text for piece in (*card.header, *card.body))
        words: list[Iterable[str]] = [
            [_id(row.review_id), shown(str(mention or ""), LONGEST_VALUE), card.category],
            ["".join(pieces)],
            [product.name for product in card.products if product.right],
        ]
        for run in card.runs:
            if run is not None:
                words.append([card.products[run.answer].name] if run.answer is not None else [])
                words.append([value.name for value in run.values])
                words.append([run.error])
        return "\n".join(dict.fromkeys(word for part in words for word in part if word)).lower()


class _Numbers:
    """Numbers names as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    @property
    def names(self) -> list[str]:
        return list(self._numbers)


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _id(review: ReviewId) -> str:
    return shown(str(review), MAX_LENGTH)


def _transcript(side: Side, row: Row) -> str:
    """Prompts and replies of a review; a damaged file costs them, not the report."""
    if side.judged.get(row.review_id) is None:
        return ""
    try:
        exchanges = read_transcript(side.run.path, row.review_id)
    except AmeliError as error:
        return shown(f"cannot be read: {error.message}", LONGEST_TRANSCRIPT)
    templates: Mapping[str, str] = side.templates
    text = as_text(exchanges, templates)
    if len(text) > LONGEST_TRANSCRIPT:
        rest = f"\n... the rest: ameli-llm show RUN {row.review_id}"
        text = text[: LONGEST_TRANSCRIPT - len(rest)] + rest
    return shown(text, LONGEST_TRANSCRIPT)

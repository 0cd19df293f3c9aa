"""What a report holds: its parts that the page's script reads, taken apart again."""

from __future__ import annotations

import base64
import json
import zlib
from html.parser import HTMLParser
from typing import Any


class ReportPage(HTMLParser):
    """A report: its tags, those left open, its text, and its data by the id of the element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.data: dict[str, Any] = {}
        self.words: list[str] = []
        self.feed(html)
        self.close()

    @property
    def index(self) -> dict[str, Any]:
        """What the list of reviews needs at once."""
        return dict(self.data["index"])

    @property
    def ids(self) -> list[str]:
        """The reviews in the order of the list."""
        return [review["id"] for review in self.index["reviews"]]

    @property
    def cards(self) -> list[dict[str, Any]]:
        """The cards in the order of the list."""
        return self._packed("cards")

    @property
    def transcripts(self) -> list[list[str]]:
        """Prompts and replies of each review by run."""
        return self._packed("transcripts")

    @property
    def searched(self) -> list[str]:
        """What the search looks at, by review."""
        return list(unpack(self.data["searched"]))

    @property
    def text(self) -> str:
        """All text that the page shows without its script."""
        return "".join(self.words)

    def _packed(self, name: str) -> list[Any]:
        parts = [value for key, value in self.data.items() if key.startswith(f"{name}-")]
        return [one for part in parts for one in unpack(part)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        attributes = self.seen[-1][1] if self.seen else {}
        if self.open and self.open[-1] == "script" and attributes.get("type") == "application/json":
            self.data[str(attributes["id"])] = json.loads(data)
        elif not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


def unpack(content: str) -> Any:
    """The value of a compressed part."""
    return json.loads(zlib.decompress(base64.b64decode(content)))

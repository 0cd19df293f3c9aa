"""MEPAVE's own format: four columns, values between ``<ATTRIBUTE>`` and ``</ATTRIBUTE>`` in the last."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ameli_llm.attributes.tagging.examples import LabelledText, Span
from ameli_llm.errors import AmeliError

COLUMNS = 4
MAX_BYTES = 1 << 30
"""Largest file that is read; MEPAVE's train split has 15 MB."""
MAX_LINE = 20_000
"""Most characters of a line."""

_TAG = re.compile(r"<(/?)([^\s<>/][^<>/]{0,99})>")

ImageOf = Callable[[str], Path | None]
"""Finds a product's picture by the id in the first column."""


def read_marked(path: Path, image_of: ImageOf) -> list[LabelledText]:
    """The texts of a file: id of the product, id of the sentence, sentence, sentence with tags, by tabs.

    Raises AmeliError, with the line's number, where a tag does not close the one that is open, a value is
    empty, the two sentences differ beside the tags, or the columns are not four.
    """
    found = [_read(line, number, path, image_of) for number, line in _lines(path) if line.strip()]
    if not found:
        raise AmeliError(f"{path} has no text.", hint="A text a line, four columns by tabs.")
    return found


def unmarked(marked: str) -> tuple[str, tuple[Span, ...]]:
    """The sentence without its tags, and the values' spans in it. Raises ValueError on tags that do not nest.

    A ``<`` that begins no tag stays in the sentence.
    """
    parts: list[str] = []
    spans: list[Span] = []
    opened: tuple[str, int] | None = None
    at = length = 0
    for tag in _TAG.finditer(marked):
        parts.append(marked[at : tag.start()])
        length += len(parts[-1])
        at = tag.end()
        closes, name = bool(tag[1]), tag[2]
        if not closes:
            if opened:
                raise ValueError(f"<{name}> stands inside <{opened[0]}>: values do not nest")
            opened = name, length
        elif opened is None:
            raise ValueError(f"</{name}> closes no tag")
        elif opened[0] != name:
            raise ValueError(f"</{name}> closes <{opened[0]}>")
        elif opened[1] == length:
            raise ValueError(f"the value in <{name}> is empty")
        else:
            spans.append(Span(opened[1], length, name))
            opened = None
    if opened:
        raise ValueError(f"<{opened[0]}> is never closed")
    return "".join([*parts, marked[at:]]), tuple(spans)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AmeliError(f"{path} has more than {MAX_BYTES} bytes.")
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise AmeliError(f"{path} is not UTF-8: byte {error.start}.") from error
    yield from enumerate(content.split("\n"), start=1)


def _read(line: str, number: int, path: Path, image_of: ImageOf) -> LabelledText:
    where = f"{path}, line {number}"
    if len(line) > MAX_LINE:
        raise AmeliError(f"{where} has more than {MAX_LINE} characters.")
    columns = line.rstrip("\r").split("\t")
    if len(columns) != COLUMNS:
        raise AmeliError(
            f"{where}: {len(columns)} columns instead of {COLUMNS}.",
            hint="Product id, sentence id, sentence, sentence with tags, divided by tabs.",
        )
    product, _, text, marked = columns
    try:
        found, spans = unmarked(marked)
    except ValueError as error:
        raise AmeliError(f"{where}: {error}.", hint="Write each value as <NAME>value</NAME>.") from error
    if found != text:
        raise AmeliError(
            f"{where}: without its tags the fourth column is {found[:60]!r}, and the third is {text[:60]!r}."
        )
    return LabelledText(text, spans, image_of(product), name=product)

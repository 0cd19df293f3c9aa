"""Reads a multipart body part by part, in memory: its size is bounded by whoever hands it over."""

from __future__ import annotations

from collections.abc import AsyncIterable

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ameli_llm.service.problems import MALFORMED, Problem

_LONGEST_BOUNDARY = 70  # RFC 2046


async def read_parts(content_type: str, body: AsyncIterable[bytes], most: int) -> dict[str, bytes]:
    """The contents of at most ``most`` parts by their names, each of which occurs once. Raises Problem."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 1 <= len(boundary) <= _LONGEST_BOUNDARY:
        raise Problem(MALFORMED, f"Content-Type has no boundary of 1 to {_LONGEST_BOUNDARY} characters.")
    reader = _Reader(most)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": reader.begin,
            "on_header_field": reader.header_name,
            "on_header_value": reader.header_value,
            "on_header_end": reader.header_end,
            "on_headers_finished": reader.headers_end,
            "on_part_data": reader.data,
            "on_part_end": reader.part_end,
            "on_end": reader.end,
        },
    )
    try:
        async for chunk in body:
            parser.write(chunk)
    except FormParserError:
        raise Problem(MALFORMED, "The multipart body is damaged.") from None
    if not reader.ended:
        raise Problem(MALFORMED, "The multipart body has no end.")
    return reader.parts


class _Reader:
    """Collects what the parser finds."""

    def __init__(self, most: int) -> None:
        self.parts: dict[str, bytes] = {}
        self.ended = False
        self._most = most
        self._begun = 0
        self._name = ""
        self._content = bytearray()
        self._header = bytearray()
        self._value = bytearray()

    def begin(self) -> None:
        self._begun += 1
        if self._begun > self._most:
            raise Problem(MALFORMED, f"The body has more than {self._most:,} parts.")
        self._name, self._content = "", bytearray()

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            name = parse_options_header(bytes(self._value))[1].get(b"name", b"")
            self._name = name.decode("utf-8", "replace")
        self._header, self._value = bytearray(), bytearray()

    def headers_end(self) -> None:
        if not self._name:
            raise Problem(MALFORMED, "A part of the body has no name.")
        if self._name in self.parts:
            raise Problem(MALFORMED, f"Two parts of the body are named {self._name[:80]!r}.")

    def data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def part_end(self) -> None:
        self.parts[self._name] = bytes(self._content)

    def end(self) -> None:
        self.ended = True

"""The values of a JSON array, one after the other: memory is that of one value, however long the array is."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from ameli_llm.untrusted import MAX_BYTES, MAX_DEPTH, decoder, require_depth

_CHUNK = 1 << 20
_BLANK = " \t\r\n"
_BOM = "\ufeff"
_LONGEST_WORD = 16
"""What is this near to the end of what was read may go on: "-Infin", an escape, the exponent of a number."""


@dataclass(frozen=True, slots=True)
class Element:
    """A value of the array, and its text."""

    value: Any
    text: str


class NoArrayError(ValueError):
    """The file holds something else than an array, or nothing."""


def read_array(file: IO[bytes], *, max_bytes: int = MAX_BYTES, chunk: int = _CHUNK) -> Iterator[Element]:
    """The elements of the array in a UTF-8 file, within the bounds of ``read_json``; NaN is read as null.

    ``max_bytes`` bounds the characters of an element, not the file. Raises ValueError, whose message is a
    short reason, when it comes to what is wrong, and NoArrayError when the file does not begin as an array.
    """
    text = _Text(file, max_bytes, chunk)
    if text.next() != "[":
        raise NoArrayError("no JSON array")
    text.at += 1
    if text.next() != "]":
        while True:
            yield text.element()
            if text.next() != ",":
                break
            text.at += 1
            text.next()
    if text.next() != "]":
        raise text.wrong("Expecting ',' delimiter")
    text.at += 1
    if text.next():
        raise text.wrong("Extra data")


class _Text:
    """The part of a file that was read and is still needed. ``at`` is where the reader is in it."""

    def __init__(self, file: IO[bytes], longest: int, chunk: int) -> None:
        self.at = 0
        self._file = file
        self._longest = longest
        self._chunk = chunk
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = decoder(nan_as_null=True)
        self._held = ""
        self._begun, self._ended = False, False
        self._bytes = 0
        self._line, self._column = 1, 1  # of the beginning of what is held

    def next(self) -> str:
        """The next character that is not blank, where ``at`` then is; "" at the end of the file."""
        while True:
            rest = len(self._held)
            while self.at < rest and self._held[self.at] in _BLANK:
                self.at += 1
            if self.at < rest:
                return self._held[self.at]
            if not self._more():
                return ""

    def element(self) -> Element:
        """The value that begins at ``at``, behind which it is then."""
        while True:
            try:
                value, end = self._json.raw_decode(self._held, self.at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._held) - _LONGEST_WORD or error.msg.startswith("Unterminated")
                if not (cut and self._more()):
                    raise self.wrong(error.msg, error.pos) from None
                continue
            except RecursionError:
                raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
            if end > len(self._held) - _LONGEST_WORD and self._more():
                continue  # a number may go on
            require_depth(value, MAX_DEPTH - 1, MAX_DEPTH)
            found, self.at = Element(value, self._held[self.at : end]), end
            return found

    def wrong(self, reason: str, at: int | None = None) -> ValueError:
        """The error at a position, by default where the reader is."""
        line, column = self._place(self.at if at is None else at)
        return ValueError(f"not JSON: {reason}, line {line} column {column}")

    def _place(self, at: int) -> tuple[int, int]:
        lines = self._held.count("\n", 0, at)
        column = at - self._held.rfind("\n", 0, at) if lines else self._column + at
        return self._line + lines, column

    def _more(self) -> bool:
        """Reads on, twice as much where one value needs more; False, and all as it was, at the end."""
        if self._ended:
            return False
        if len(self._held) - self.at > self._longest:
            raise ValueError(f"a record is larger than {self._longest} bytes")
        content = self._file.read(max(self._chunk, len(self._held) - self.at))
        pending, self._ended = len(self._decoder.getstate()[0]), not content
        try:
            found = self._decoder.decode(content, final=self._ended)
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8: byte {self._bytes - pending + error.start}") from None
        if self._ended:
            return False
        if found and not self._begun:
            found, self._begun = found.removeprefix(_BOM), True
        self._bytes += len(content)
        self._line, self._column = self._place(self.at)
        self._held, self.at = self._held[self.at :] + found, 0
        return True

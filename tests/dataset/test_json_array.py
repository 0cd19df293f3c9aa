"""A JSON array read element by element says what it would say read whole, wherever the pieces are cut."""

from __future__ import annotations

import io
import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ameli_llm.dataset.json_array import NoArrayError, read_array
from ameli_llm.untrusted import read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def elements(text: bytes, **options: int) -> list[Any]:
    return [element.value for element in read_array(io.BytesIO(text), **options)]


def outcome(action: Any) -> Any:
    try:
        return action()
    except ValueError as error:
        return type(error), str(error)


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
def test_whatever_the_pieces(values: list[Any], chunk: int, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    if b"\xed" not in text:  # a lone surrogate is no UTF-8
        assert elements(text, chunk=chunk) == values


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    "text",
    [
        *("[]", " [ ] ", "[1]", "[1, 2.5e3, -0]", '["a", {"b": [null]}]', "\ufeff[1]", "[NaN, -Infinity]"),
        *("[", "[1", "[1,", "[1,]", "[1 2]", "[1] 2", "[]]", "[,1]", "[1,,2]", '["a', '["\\ud83d\\ude00"]'),
        *('["\\q"]', '[{"a" 1}]', '[\n{"a": 1,\n }]', "[tru]", "[-]", "[1e999]", '["a\nb"]', "[[1, 2}]"),
        *('["é", "日本", "😀"]', "[" + "[" * 64 + "]" * 64 + "]", "[" + "[" * 63 + "]" * 63 + "]"),
    ],
)
def test_as_read_whole(text: str, chunk: int) -> None:
    content = text.encode()
    whole = outcome(lambda: read_json(content, nan_as_null=True))
    assert outcome(lambda: elements(content, chunk=chunk)) == whole


@pytest.mark.parametrize("text", ["", "  ", "{}", "7", '"["', "null"])
def test_what_is_no_array(text: str) -> None:
    with pytest.raises(NoArrayError):
        elements(text.encode())


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize(("text", "at"), [(b'["\xff"]', 2), (b'["\xc3\xa9\xe3"]', 4), (b'["a"\xe3\x81', 4)])
def test_what_is_no_utf8_is_placed_in_the_file(text: bytes, at: int, chunk: int) -> None:
    with pytest.raises(ValueError, match=f"^not UTF-8: byte {at}$"):
        elements(text, chunk=chunk)


def test_what_comes_before_a_fault_is_read() -> None:
    found = read_array(io.BytesIO(b'[{"a": 1}, {"b" 2}]'))
    assert next(found).value == {"a": 1}
    with pytest.raises(ValueError, match=r"^not JSON: Expecting ':' delimiter, line 1 column 17$"):
        next(found)


class Endless(io.RawIOBase):
    """A file that begins somehow and goes on with the same for ever; counts what was read."""

    def __init__(self, begins: bytes, again: bytes) -> None:
        self.begins = begins
        self.again = again
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        found = self.begins * (not self.taken) + self.again * (size // len(self.again) + 1)
        self.taken += len(found)
        return found


def test_no_more_is_read_than_is_needed() -> None:
    file = Endless(b"[", b'{"a": 1},')
    found = [one.value for one in islice(read_array(file, chunk=64), 1000)]
    assert found == [{"a": 1}] * 1000
    assert file.taken < 10_000


def test_an_element_that_does_not_end_is_given_up() -> None:
    file = Endless(b'["', b"a")
    with pytest.raises(ValueError, match=r"^a record is larger than 10000 bytes$"):
        next(read_array(file, max_bytes=10_000, chunk=64))
    assert file.taken < 50_000

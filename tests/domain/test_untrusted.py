"""JSON of other people: what is taken, and the reason for which the rest is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ameli_llm.untrusted import read_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5e3, true, null]}', {"a": [1, -2500.0, True, None]}),
        ('"é\\u0000\\ud800"', "é\x00\ud800"),
        ("é".join(['"', '"']).encode(), "é"),
        (b"\xef\xbb\xbf[]", []),
        ("9" * 100, int("9" * 100)),
        ("[" * 64 + "]" * 64, json.loads("[" * 64 + "]" * 64)),
    ],
)
def test_what_is_taken_can_be_dumped_again(text: str | bytes, value: Any) -> None:
    assert read_json(text) == value
    assert json.loads(json.dumps(read_json(text), allow_nan=False)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON: Expecting value, line 1 column 1"),
        ('{"a":\n 1', "not JSON: Expecting ',' delimiter, line 2 column 3"),
        ('"a\tb"', "not JSON: Invalid control character at, line 1 column 3"),
        (b'{"a": "\x00"}', "not JSON: Invalid control character at, line 1 column 8"),
        (b"[\x00\x00\x00]\x00\x00\x00", "not JSON: Expecting value, line 1 column 2"),
        (b'"\xff"', "not UTF-8: byte 1"),
        ("[NaN]", "NaN is no JSON number"),
        ("[-Infinity]", "-Infinity is no JSON number"),
        ("1e999", "number 1e999 out of range"),
        ("0." + "1" * 99, "number 0.111111111111111111 out of range"),
        ("9" * 101, "number 99999999999999999999... out of range"),
        ("9" * 5000, "number 99999999999999999999... out of range"),
        ("[" * 65 + "]" * 65, "nested more than 64 deep"),
        ('{"a":' * 65 + "0" + "}" * 65, "nested more than 64 deep"),
        ("[" * 100_000, "nested more than 64 deep"),
        (b'{"a":' * 100_000, "nested more than 64 deep"),
    ],
)
def test_what_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_json(text)
    assert str(caught.value) == reason


def test_bounds_are_the_callers() -> None:
    assert read_json("[[]]", max_bytes=4, max_depth=2) == [[]]
    with pytest.raises(ValueError, match=r"^larger than 3 bytes$"):
        read_json(b"[[]]", max_bytes=3)
    with pytest.raises(ValueError, match=r"^nested more than 1 deep$"):
        read_json("[[]]", max_depth=1)
    assert read_json('"a\tb"', strict=False) == "a\tb"

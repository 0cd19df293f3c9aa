"""JSON that somebody else wrote, read within bounds: files of a dataset or a run, replies of a model."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_BYTES = 64 << 20
MAX_DEPTH = 64
_LONGEST_NUMBER = 100


def read_json(
    text: str | bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    strict: bool = True,
    nan_as_null: bool = False,
) -> Any:
    """The value of a JSON text of bounded size, nesting and numbers; whatever is wrong is a ValueError.

    Its message is a short reason without the text ("not JSON: Expecting value, line 1 column 1"). Bytes are
    UTF-8, with or without a byte order mark; of a str, characters count as bytes. Refused are NaN, Infinity,
    numbers that no float holds, those written with more than 100 characters, and, unless ``strict`` is false,
    bare control characters in strings. ``nan_as_null`` reads NaN and Infinity, which pandas and Python write
    for missing numbers, as null. Every value that comes back can be dumped as JSON again.
    """
    if len(text) > max_bytes:
        raise ValueError(f"larger than {max_bytes} bytes")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = json.loads(decoded, strict=strict, **_numbers(nan_as_null))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    require_depth(value, max_depth)
    return value


def decoder(*, nan_as_null: bool = False) -> json.JSONDecoder:
    """Decodes one value of a longer text, with the bounds of ``read_json`` on numbers."""
    return json.JSONDecoder(**_numbers(nan_as_null))


def _numbers(nan_as_null: bool) -> dict[str, Any]:
    constant = _null if nan_as_null else _no_constant
    return {"parse_constant": constant, "parse_float": _float, "parse_int": _int}


def require_depth(value: Any, most: int, named: int = 0) -> None:
    """Raises ValueError for a value nested more than ``most`` deep; it says ``named`` where that is given."""
    # Level by level: what is not too deep for this is not too deep for any code that goes down by calls.
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        if not level:
            return
        children = (child for item in level for child in (item.values() if isinstance(item, dict) else item))
        level = [child for child in children if isinstance(child, dict | list)]
    if level:
        raise _too_deep(named or most)


def _too_deep(most: int) -> ValueError:
    return ValueError(f"nested more than {most} deep")


def _null(name: str) -> None:
    """What stands for a number that is none."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _float(digits: str) -> float:
    value = float(digits)
    if len(digits) > _LONGEST_NUMBER or not math.isfinite(value):
        raise ValueError(f"number {digits[:20]} out of range")
    return value


def _int(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"number {digits[:20]}... out of range")
    return int(digits)

"""What the page carries as data: JSON in elements that no browser runs, most of it compressed."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

if TYPE_CHECKING:
    from markupsafe import Markup

CHUNK = 25
"""Reviews of a compressed part, which the page unpacks when one of them is opened."""

PICTURES = 50
"""Pictures of a part."""

_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}


def element(name: str, value: Any) -> Markup:
    """A script element of type JSON with the id ``name``; in its text nothing can end it or open another."""
    from markupsafe import Markup

    text = to_json(value, inf_nan_mode="null").decode().translate(_ESCAPES)
    return Markup(f'<script type="application/json" id="{name}">{text}</script>\n')


def packed(value: Any) -> str:
    """JSON, compressed by zlib ("deflate" of DecompressionStream), as base64; dataclasses become objects."""
    return base64.b64encode(zlib.compress(to_json(value, inf_nan_mode="null"), 9)).decode("ascii")

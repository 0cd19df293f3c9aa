"""MAE's format: products with a description, pictures, and attribute-value pairs that nobody placed.

As papers on MAE-text do (Zhu et al. 2020, section 3), a pair whose value the description states becomes a
span by exact matching; a product of which none is stated is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from ameli_llm.attributes.tagging.examples import LabelledText
from ameli_llm.attributes.tagging.literal import literal_spans, stands_in
from ameli_llm.errors import AmeliError, first_line
from ameli_llm.files import first_error
from ameli_llm.untrusted import read_json

MAX_TEXT = 20_000
"""Characters of a description that are read."""

PictureOf = Callable[[str], Path | None]
"""Finds a picture by the name or the address that the record has for it."""


class _Record(BaseModel):
    """A product of MAE: ``text``, or ``tokens`` that are put together by spaces; ``specs`` are the pairs."""

    text: str = Field("", max_length=1 << 20)
    tokens: list[str] = []
    specs: dict[str, str | int | float | list[str] | None]
    images: list[str] = []
    category: str = ""
    id: str | int = ""

    @model_validator(mode="after")
    def _has_text(self) -> _Record:
        if not self.text and not self.tokens:
            raise ValueError("neither text nor tokens")
        return self


def read_pairs(path: Path, picture_of: PictureOf, left_out: Counter[str]) -> list[LabelledText]:
    """The products of a file: a JSON array, or an object a line. The first picture that is there is taken.

    Raises AmeliError, which names the record, on one of another form; ``left_out`` counts pairs and products
    that are not taken, and texts that were cut.
    """
    found = []
    for number, record in _records(path):
        try:
            product = _Record.model_validate(record)
        except ValidationError as error:
            raise AmeliError(f"{path}, record {number}: {first_error(error)}.") from error
        text = product.text or " ".join(product.tokens)
        if len(text) > MAX_TEXT:
            left_out["text cut"] += 1
            text = text[:MAX_TEXT]
        values = {key: _values(value) for key, value in product.specs.items()}
        spans = literal_spans(text, values, left_out)
        if not spans:
            left_out["product without a stated value"] += 1
            continue
        image = next((file for name in product.images if (file := picture_of(name))), None)
        stated = {key: tuple(v for v in listed if stands_in(text, v)) for key, listed in values.items()}
        pairs = {key: listed for key, listed in stated.items() if listed}
        name = str(product.id) or f"{path.name} {number}"
        found.append(LabelledText(text, spans, image, product.category, name, pairs))
    return found


def _values(value: Any) -> tuple[str, ...]:
    several = value if isinstance(value, list) else [] if value is None else [str(value)]
    return tuple(one.strip() for one in several if one.strip())


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        content = path.read_bytes()
        if content.lstrip()[:1] == b"[":
            yield from enumerate(read_json(content, max_bytes=1 << 30), start=1)
            return
        for number, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                yield number, read_json(line)
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise AmeliError(f"{path} is {first_line(error)}.") from error

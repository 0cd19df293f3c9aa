"""Reads the body of a request to link: JSON, or JSON with photos in one multipart body, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from ameli_llm.dataset.records import clean
from ameli_llm.service.bodies import ReviewBody
from ameli_llm.service.limits import Limits
from ameli_llm.service.multipart import read_parts
from ameli_llm.service.problems import INVALID, MALFORMED, MEDIA, Problem, invalid, of_validation
from ameli_llm.untrusted import read_json

JSON = "application/json"
MULTIPART = "multipart/form-data"
REVIEW = "review"
"""The part of a multipart body with the JSON; the others are photos, each by its own name."""

_LARGE = 1 << 20

BodyT = TypeVar("BodyT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks to link; ``many`` when it was a list, ``uploads`` are bytes by the part's name."""

    reviews: tuple[ReviewBody, ...]
    many: bool
    uploads: Mapping[str, bytes]

    def pointer(self, number: int) -> str:
        """Where the review of that number, from 0, stands in the body."""
        return f"/{number}" if self.many else ""


async def read_asked(request: Request, limits: Limits) -> Asked:
    """The reviews of a request. Raises Problem."""
    media = _media(request, JSON, MULTIPART)
    if media == JSON:
        return await _read(await request.body(), {}, limits)
    most = 1 + limits.reviews * limits.images
    uploads = await read_parts(request.headers["content-type"], request.stream(), most)
    if REVIEW not in uploads:
        raise Problem(MALFORMED, f"No part of the body is named {REVIEW!r}: it has the JSON.")
    content = uploads.pop(REVIEW)
    asked = await _read(content, uploads, limits)
    used = {image.upload for review in asked.reviews for image in review.images}
    if unused := uploads.keys() - used:
        raise Problem(INVALID, f"No review has the image {{'upload': {min(unused)[:80]!r}}}.")
    return asked


async def read_body(request: Request, model: type[BodyT], limits: Limits) -> BodyT:
    """The one JSON object of a body. Raises Problem."""
    _media(request, JSON)
    return _valid(model, _value(await request.body(), limits), "")


def _media(request: Request, *wanted: str) -> str:
    """The type of the body. A browser sends JSON to another site only after asking, which is refused."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in wanted:
        raise Problem(MEDIA, f"Content-Type is {media[:80]!r}, expected {' or '.join(wanted)}.")
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise Problem(MEDIA, f"Content-Encoding is {coding[:80]!r}: compressed bodies are not read.")
    return media


async def _read(content: bytes, uploads: Mapping[str, bytes], limits: Limits) -> Asked:
    """The reviews of the JSON; a large one is read in a thread, so that other requests do not wait for it."""

    def read() -> Asked:
        return _asked(_value(content, limits), uploads, limits)

    return await asyncio.to_thread(read) if len(content) > _LARGE else read()


def _value(content: bytes, limits: Limits) -> Any:
    try:
        return clean(read_json(content, max_bytes=limits.body)).value
    except ValueError as error:
        raise Problem(MALFORMED, f"The JSON cannot be read: {error}.") from None


def _asked(value: Any, uploads: Mapping[str, bytes], limits: Limits) -> Asked:
    many = isinstance(value, list)
    items = value if many else [value]
    if not 1 <= len(items) <= limits.reviews:
        raise invalid("", f"{len(items)} reviews; a request has 1 to {limits.reviews:,}")
    reviews = (_valid(ReviewBody, item, f"/{i}" if many else "") for i, item in enumerate(items))
    return Asked(tuple(reviews), many, uploads)


def _valid(model: type[BodyT], value: Any, pointer: str) -> BodyT:
    if not isinstance(value, dict):
        raise invalid(pointer, "must be an object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise of_validation(error, pointer) from None

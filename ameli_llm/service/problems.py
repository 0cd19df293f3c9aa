"""What the service answers when it cannot do what was asked: problem details as RFC 9457 has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
URN = "urn:ameli-llm:problem:"
_MOST_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: the last part of its type, and the status it comes with."""

    name: str
    status: int
    title: str


MALFORMED = Kind("malformed-body", 400, "The body cannot be read")
UNAUTHORIZED = Kind("unauthorized", 401, "A bearer token is needed")
READ_ONLY = Kind("read-only", 403, "Products cannot be changed here")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
LAST_PRODUCT = Kind("last-product", 409, "The last product cannot be deleted")
TOO_LARGE = Kind("too-large", 413, "More than the service takes")
MEDIA = Kind("media-type", 415, "A body of this type is not read")
FOREIGN_HOST = Kind("foreign-host", 421, "Not a name of this machine")
INVALID = Kind("invalid-request", 422, "The request breaks its schema")
BAD_IMAGE = Kind("unusable-image", 422, "An image cannot be used")
QUEUE_FULL = Kind("queue-full", 429, "Too much is waiting")
INTERNAL = Kind("internal", 500, "The service has failed")
UNAVAILABLE = Kind("unavailable", 503, "The service cannot answer now")
DEADLINE = Kind("deadline", 504, "It took too long")


class FieldError(BaseModel):
    """What is wrong with one place of the body."""

    model_config = ConfigDict(extra="forbid")

    pointer: str = Field(description="JSON pointer (RFC 6901) into the body", examples=["/0/images/1"])
    detail: str


class ProblemBody(BaseModel):
    """Why a request was not answered (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="names the kind", examples=[f"{URN}queue-full"])
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldError] | None = None


class Problem(HTTPException):
    """Ends a request with a problem; ``detail`` is for the client and holds nothing that it must not see."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.status, detail, dict(headers) if headers else None)
        self.kind = kind
        self.errors = tuple(errors[:_MOST_ERRORS])

    def body(self, request_id: str | None = None) -> ProblemBody:
        """What is sent."""
        return ProblemBody(
            type=URN + self.kind.name,
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            request_id=request_id,
            errors=list(self.errors) or None,
        )

    def response(self, request_id: str | None = None) -> Response:
        """The answer."""
        content = self.body(request_id).model_dump_json(exclude_none=True)
        return Response(content, self.kind.status, self.headers, MEDIA_TYPE)


def invalid(pointer: str, detail: str, kind: Kind = INVALID) -> Problem:
    """The problem of one wrong place."""
    where = pointer or "the body"
    return Problem(kind, f"{where}: {detail}", errors=[FieldError(pointer=pointer, detail=detail)])


def of_validation(error: ValidationError, pointer: str = "") -> Problem:
    """The problem of a body that breaks its schema; ``pointer`` is where in the body that was read."""
    errors = [
        FieldError(pointer=pointer + _pointer(one["loc"]), detail=one["msg"])
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    first = errors[0]
    return Problem(INVALID, f"{first.pointer or 'the body'}: {first.detail}", errors=errors)


def of_http(error: HTTPException) -> Problem:
    """The problem of what the framework refuses by itself: unknown paths, methods, broken multipart."""
    if isinstance(error, Problem):
        return error
    known = {404: NOT_FOUND, 400: MALFORMED}.get(error.status_code)
    phrase = HTTPStatus(error.status_code).phrase
    kind = known or Kind(phrase.lower().replace(" ", "-"), error.status_code, phrase)
    return Problem(kind, str(error.detail), headers=error.headers)


def responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """How a route documents the problems that it may end with."""
    said: dict[int, list[str]] = {}
    for kind in kinds:
        said.setdefault(kind.status, []).append(f"{kind.title} ({kind.name})")
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {
        status: {"description": "; ".join(titles), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, titles in said.items()
    }


def _pointer(location: Sequence[int | str]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)
